//! Which patches are hidden, and what their prediction costs. Letters: B batch, L patches, K kept, P numbers of a patch,
//! D width.

use tch::{Kind, Tensor};

use crate::error::{Error, Result};

/// A choice of patches for each clip.
#[derive(Debug)]
pub struct Masking {
    /// Patches kept, in the order of their noise `[B, K]`.
    kept: Tensor,
    /// Place of every patch among the kept and then the hidden ones `[B, L]`.
    restore: Tensor,
    /// 1 where hidden, 0 where kept `[B, L]`.
    hidden: Tensor,
}

impl Masking {
    /// Keeps the floor(L (1 - ratio)) patches with the smallest `noise` `[B, L]`.
    ///
    /// # Errors
    /// Unless at least one patch is kept and one is hidden.
    pub fn new(noise: &Tensor, ratio: f64) -> Result<Self> {
        let (_, length) = noise.size2()?;
        let keep = (length as f64 * (1.0 - ratio)) as i64;
        if !(1..length).contains(&keep) {
            return Err(Error::Setting {
                key: "ratio".to_owned(),
                expected: format!("a share that keeps and hides at least one of {length} patches"),
                got: ratio.to_string(),
            });
        }
        let order = noise.f_argsort(1, false)?;
        let restore = order.f_argsort(1, false)?;
        let hidden = restore.f_ge(keep)?.f_to_kind(Kind::Float)?;
        Ok(Self { kept: order.f_narrow(1, 0, keep)?, restore, hidden })
    }

    /// 1 where a patch is hidden, else 0 `[B, L]`.
    pub fn hidden(&self) -> &Tensor {
        &self.hidden
    }

    /// Place of every patch among the kept and then the hidden ones `[B, L]`.
    pub fn places(&self) -> &Tensor {
        &self.restore
    }

    /// x `[B, L, D]` -> the patches kept `[B, K, D]`
    pub(super) fn keep(&self, x: &Tensor) -> Result<Tensor> {
        let at = self.kept.f_unsqueeze(2)?.f_expand([-1, -1, x.size()[2]], false)?;
        Ok(x.f_gather(1, &at, false)?)
    }

    /// kept patches `[B, K, D]` and a token `[1, 1, D]` in place of the hidden ones -> `[B, L, D]`
    pub(super) fn restore(&self, x: &Tensor, token: &Tensor) -> Result<Tensor> {
        let (batch, kept, dim) = x.size3()?;
        let rest = token.f_expand([batch, self.restore.size()[1] - kept, dim], false)?;
        let all = Tensor::f_cat(&[x, &rest], 1)?;
        let at = self.restore.f_unsqueeze(2)?.f_expand([-1, -1, dim], false)?;
        Ok(all.f_gather(1, &at, false)?)
    }
}

/// Mean over hidden patches of the mean squared error over their numbers, 0-d.
///
/// prediction and target `[B, L, P]`
///
/// # Errors
/// When libtorch refuses.
pub fn masked_loss(prediction: &Tensor, target: &Tensor, mask: &Masking) -> Result<Tensor> {
    let errors = prediction.f_sub(target)?.f_square()?;
    let errors = errors.f_mean_dim([-1i64].as_slice(), false, Kind::Float)?; // [B, L]
    let all = errors.f_mul(&mask.hidden)?.f_sum(Kind::Float)?;
    Ok(all.f_div(&mask.hidden.f_sum(Kind::Float)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_patches_come_back_to_their_places() {
        let noise = Tensor::from_slice(&[0.9f32, 0.1, 0.5, 0.3]).reshape([1, 4]);
        let mask = Masking::new(&noise, 0.5).unwrap();
        assert_eq!(Vec::<f32>::try_from(mask.hidden.get(0)).unwrap(), [1.0, 0.0, 1.0, 0.0]);
        let x = Tensor::from_slice(&[10f32, 11.0, 12.0, 13.0]).reshape([1, 4, 1]);
        let token = Tensor::from_slice(&[-1f32]).reshape([1, 1, 1]);
        let back = mask.restore(&mask.keep(&x).unwrap(), &token).unwrap();
        assert_eq!(Vec::<f32>::try_from(back.flatten(0, 2)).unwrap(), [-1.0, 11.0, -1.0, 13.0]);
        let loss = masked_loss(&back, &x, &mask).unwrap().double_value(&[]);
        assert_eq!(loss, (121.0 + 169.0) / 2.0);
        for ratio in [0.0, 0.9] {
            assert!(Masking::new(&noise, ratio).is_err(), "{ratio}");
        }
    }
}
