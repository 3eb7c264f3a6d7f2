//! Masked-token pre-training: which stretches of a wave are hidden, and the loss on the tokens behind them.
//!
//! BEST-RQ (Chiu et al. 2022, arXiv:2202.01855) as MusicFM runs it. A block is 0.4 s: 9600 samples at 24 kHz, ten
//! tokens at 25 Hz. Letters: B batch, T samples, S = T / 9600 blocks, T' tokens, K entries.

use etude_aten::to_device;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use tch::{Kind, Reduction, Tensor};

use crate::error::{Error, Result};

/// Samples of a block.
pub const BLOCK: i64 = 9600;
/// Tokens of a block.
pub const BLOCK_TOKENS: i64 = 10;
/// Share of blocks hidden.
pub const SHARE: f64 = 0.6;
/// Standard deviation of the noise in their place.
pub const NOISE: f64 = 0.1;

/// Hidden blocks `[B, S]`.
#[derive(Debug)]
pub struct BlockMask {
    blocks: Tensor,
}

impl BlockMask {
    /// Hides each whole block of waves `[B, T]` with probability [`SHARE`]; what is left over at the end stays.
    ///
    /// # Errors
    /// Unless the wave is a matrix.
    pub fn draw(wave: &Tensor, seed: u64) -> Result<Self> {
        let (batch, time) = wave.size2()?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let limit = (SHARE * f64::from(u32::MAX)) as u32;
        let hidden: Vec<bool> =
            (0..batch * (time / BLOCK)).map(|_| rng.next_u32() < limit).collect();
        let blocks = Tensor::f_from_slice(&hidden)?.f_reshape([batch, time / BLOCK])?;
        Ok(Self { blocks: to_device(&blocks, wave.device())? })
    }

    /// Takes a mask made elsewhere: `[B, S]`, not 0 where hidden.
    ///
    /// # Errors
    /// Unless it is a matrix.
    pub fn from_blocks(blocks: &Tensor) -> Result<Self> {
        if blocks.dim() != 2 {
            return Err(Error::Shape {
                place: "mask".to_owned(),
                expected: "blocks [B, S]".to_owned(),
                got: format!("{:?}", blocks.size()),
            });
        }
        Ok(Self { blocks: blocks.f_to_kind(Kind::Bool)? })
    }

    /// wave `[B, T]` -> the same with hidden blocks replaced by noise of standard deviation [`NOISE`] from libtorch's
    /// generator
    ///
    /// # Errors
    /// When the wave has another length than the mask was made for.
    pub fn hide(&self, wave: &Tensor) -> Result<Tensor> {
        let hidden = self.stretch(BLOCK, wave.size2()?.1)?; // [B, T]
        let noise = wave.f_randn_like()?.f_mul_scalar(NOISE)?;
        Ok(noise.f_where_self(&hidden, wave)?)
    }

    /// Tokens behind hidden blocks: [B, `time`], true where hidden; tokens after the last block are not.
    ///
    /// # Errors
    /// When there are fewer tokens than blocks have.
    pub fn tokens(&self, time: i64) -> Result<Tensor> {
        self.stretch(BLOCK_TOKENS, time)
    }

    /// `[B, S]` -> `[B, time]`, each block `length` long
    fn stretch(&self, length: i64, time: i64) -> Result<Tensor> {
        let long = self.blocks.f_repeat_interleave_self_int(length, 1, None)?;
        let rest = time - long.size()[1];
        if rest < 0 || rest >= length {
            return Err(Error::Shape {
                place: "mask".to_owned(),
                expected: format!("{} blocks of {length}", self.blocks.size()[1]),
                got: format!("a length of {time}"),
            });
        }
        Ok(long.f_constant_pad_nd([0, rest])?)
    }
}

/// Mean cross entropy and share of right guesses over hidden tokens. The longer of logits and tokens is cut at its end.
///
/// logits `[B, T', K]`, tokens `[B, T']`, hidden `[B, T']`
///
/// # Errors
/// When nothing is hidden.
pub fn loss(logits: &Tensor, tokens: &Tensor, hidden: &Tensor) -> Result<(Tensor, Tensor)> {
    let time = logits.size3()?.1.min(tokens.size2()?.1).min(hidden.size2()?.1);
    let flat = |x: &Tensor| x.f_narrow(1, 0, time)?.f_flatten(0, 1);
    let at = flat(hidden)?.f_nonzero()?.f_squeeze_dim(1)?;
    if at.numel() == 0 {
        return Err(Error::Shape {
            place: "masked loss".to_owned(),
            expected: "at least one hidden token".to_owned(),
            got: "none".to_owned(),
        });
    }
    let logits = flat(logits)?.f_index_select(0, &at)?; // [hidden, K]
    let tokens = flat(tokens)?.f_index_select(0, &at)?; // [hidden]
    let loss = logits.f_cross_entropy_loss(&tokens, None::<&Tensor>, Reduction::Mean, -100, 0.0)?;
    let right = logits.f_argmax(-1, false)?.f_eq_tensor(&tokens)?;
    Ok((loss, right.f_to_kind(Kind::Float)?.f_mean(Kind::Float)?))
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn six_in_ten_blocks_are_hidden_and_the_rest_of_the_wave_is_untouched() {
        let wave = Tensor::ones([50, 20 * BLOCK + 77], (Kind::Float, Device::Cpu));
        let mask = BlockMask::draw(&wave, 5).unwrap();
        let share = mask.blocks.to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        assert!((share - 0.6).abs() < 0.05, "{share}");
        assert!(mask.blocks.equal(&BlockMask::draw(&wave, 5).unwrap().blocks));
        let hidden = mask.stretch(BLOCK, wave.size()[1]).unwrap();
        let out = mask.hide(&wave).unwrap();
        assert!(out.masked_select(&hidden.logical_not()).eq(1.0).all().int64_value(&[]) == 1);
        let noise = out.masked_select(&hidden);
        assert!((noise.std(true).double_value(&[]) - 0.1).abs() < 1e-3);
        assert!(hidden.narrow(1, 20 * BLOCK, 77).any().int64_value(&[]) == 0);
    }

    #[test]
    fn a_mask_of_another_length_is_refused() {
        let wave = Tensor::zeros([1, 3 * BLOCK], (Kind::Float, Device::Cpu));
        let mask = BlockMask::draw(&wave, 0).unwrap();
        assert!(mask.hide(&wave.narrow(1, 0, BLOCK)).is_err());
        assert!(mask.tokens(40).is_err());
        assert_eq!(mask.tokens(39).unwrap().size(), [1, 39]);
    }
}
