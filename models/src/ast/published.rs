//! Published weights of three kinds become this network's: AST under its own names, AST in the layout of Hugging Face,
//! and image transformers (DeiT on ImageNet), whose kernel sees three colours and whose positions lie on a square.

use tch::{Kind, Tensor};

use super::{Config, NAME, Preset};
use crate::error::{Error, Result};
use crate::weights::WeightFile;

/// Tensors by name.
type Named = Vec<(String, Tensor)>;

/// The file's tensors under AST's names, positions fitted to the patches of `cfg`.
///
/// # Errors
/// When the file is none of the three kinds, or cannot be read.
pub(crate) fn adopt(file: &WeightFile, cfg: &Config) -> Result<Named> {
    let names = file.names();
    let has = |part: &str| names.iter().any(|n| n.contains(part));
    let tensors = if has("embeddings.patch_embeddings.") {
        hugging_face(file, &names)?
    } else if has("v.patch_embed.") {
        let ours = |n: &String| Ok((n.trim_start_matches("module.").to_owned(), file.tensor(n)?));
        names.iter().map(ours).collect::<Result<_>>()?
    } else {
        image(file, &names)?
    };
    fit(tensors, cfg)
}

/// A DeiT checkpoint, bare or below `model.`; the layer norm before the classifier, which it has not, starts at 1 and 0.
fn image(file: &WeightFile, names: &[String]) -> Result<Named> {
    let mut out = Named::new();
    for name in names {
        let bare = name.strip_prefix("model.").unwrap_or(name);
        out.push((format!("v.{bare}"), file.tensor(name)?));
    }
    if let Some((_, norm)) = out.iter().find(|(n, _)| n == "v.norm.weight") {
        let (one, zero) = (norm.f_ones_like()?, norm.f_zeros_like()?);
        out.push(("mlp_head.0.weight".to_owned(), one));
        out.push(("mlp_head.0.bias".to_owned(), zero));
    }
    Ok(out)
}

/// transformers' ASTModel, alone or with its classifier. Queries, keys and values become rows of one layer.
fn hugging_face(file: &WeightFile, names: &[String]) -> Result<Named> {
    const RENAMED: [(&str, &str); 15] = [
        ("embeddings.cls_token", "v.cls_token"),
        ("embeddings.distillation_token", "v.dist_token"),
        ("embeddings.position_embeddings", "v.pos_embed"),
        ("embeddings.patch_embeddings.projection.", "v.patch_embed.proj."),
        ("encoder.layer.", "v.blocks."),
        (".attention.output.dense.", ".attn.proj."),
        (".intermediate.dense.", ".mlp.fc1."),
        (".output.dense.", ".mlp.fc2."),
        (".layernorm_before.", ".norm1."),
        (".layernorm_after.", ".norm2."),
        ("classifier.layernorm.", "mlp_head.0."),
        ("classifier.dense.", "mlp_head.1."),
        (".attention.attention.query.", ".attn.query."),
        (".attention.attention.key.", ".attn.key."),
        (".attention.attention.value.", ".attn.value."),
    ];
    let mut out = Named::new();
    for name in names {
        let mut ours = name.trim_start_matches("audio_spectrogram_transformer.").to_owned();
        if let Some(last) = ours.strip_prefix("layernorm.") {
            ours = format!("v.norm.{last}");
        }
        for (from, to) in RENAMED {
            ours = ours.replace(from, to);
        }
        if ours.contains(".attn.key.") || ours.contains(".attn.value.") {
            continue;
        }
        if !ours.contains(".attn.query.") {
            out.push((ours, file.tensor(name)?));
            continue;
        }
        let other = |part: &str| file.tensor(&name.replace(".query.", &format!(".{part}.")));
        let rows = [file.tensor(name)?, other("key")?, other("value")?];
        out.push((ours.replace(".query.", ".qkv."), Tensor::f_cat(&rows, 0)?));
    }
    let lone = |out: &Named| !out.iter().any(|(n, _)| n.starts_with("mlp_head.0."));
    if lone(&out)
        && let Some((_, norm)) = out.iter().find(|(n, _)| n == "v.norm.weight")
    {
        let (one, zero) = (norm.f_ones_like()?, norm.f_zeros_like()?);
        out.push(("mlp_head.0.weight".to_owned(), one));
        out.push(("mlp_head.0.bias".to_owned(), zero));
    }
    Ok(out)
}

/// One colour where there are three, and positions for the patches there are.
fn fit(tensors: Named, cfg: &Config) -> Result<Named> {
    let (rows, columns) = cfg.grid();
    let mut out = Named::with_capacity(tensors.len());
    for (name, tensor) in tensors {
        let fitted = match name.as_str() {
            "v.patch_embed.proj.weight" if tensor.size().get(1) == Some(&3) => {
                mono_kernel(&tensor)?
            }
            "v.pos_embed" if tensor.size().get(1) != Some(&(2 + rows * columns)) => {
                if cfg.preset == Preset::Limited {
                    return Err(Error::Setting {
                        key: "preset".to_owned(),
                        expected: "ccml or limited_fixed: published positions lie on rows of bands"
                            .to_owned(),
                        got: "limited".to_owned(),
                    });
                }
                let from = grid(&tensor, rows)?;
                adapt_positions(&tensor, from, (rows, columns))?
            }
            _ => tensor,
        };
        out.push((name, fitted));
    }
    Ok(out)
}

/// Rows and columns of the patches that positions `[1, 2 + L, D]` are for: as many rows as ours, or a square.
fn grid(positions: &Tensor, rows: i64) -> Result<(i64, i64)> {
    let patches = positions.size().get(1).map_or(0, |n| n - 2);
    let side = (patches.max(0) as f64).sqrt().round() as i64;
    if patches > 0 && side * side == patches {
        return Ok((side, side));
    }
    if patches > 0 && patches % rows == 0 {
        return Ok((rows, patches / rows));
    }
    Err(Error::Shape {
        place: format!("{NAME} positions"),
        expected: format!("two tokens and a square of patches, or {rows} rows of them"),
        got: format!("{:?}", positions.size()),
    })
}

/// Positions `[1, 2 + L, D]` for another number of patches, each axis alone, columns first: a longer axis by linear
/// interpolation, a shorter one by its middle. The two tokens keep theirs.
///
/// # Errors
/// When libtorch refuses.
pub fn adapt_positions(
    positions: &Tensor,
    (rows, columns): (i64, i64),
    (to_rows, to_columns): (i64, i64),
) -> Result<Tensor> {
    let dim = positions.size3()?.2;
    let tokens = positions.f_narrow(1, 0, 2)?;
    let image = positions.f_narrow(1, 2, rows * columns)?.f_transpose(1, 2)?;
    let image = image.f_reshape([1, dim, rows, columns])?.f_to_kind(Kind::Float)?;
    let image = match to_columns > columns {
        true => image.f_upsample_bilinear2d([rows, to_columns], false, None, None)?,
        false => image.f_narrow(3, columns / 2 - to_columns / 2, to_columns)?,
    };
    let image = match to_rows > rows {
        true => image.f_upsample_bilinear2d([to_rows, to_columns], false, None, None)?,
        false => image.f_narrow(2, rows / 2 - to_rows / 2, to_rows)?,
    };
    let patches = image.f_flatten(2, 3)?.f_transpose(1, 2)?; // [1, L', D]
    Ok(Tensor::f_cat(&[tokens.f_to_kind(Kind::Float)?, patches], 1)?)
}

/// kernel on three colours `[D, 3, 16, 16]` -> on one `[D, 1, 16, 16]`: their sum
///
/// # Errors
/// When libtorch refuses.
pub fn mono_kernel(kernel: &Tensor) -> Result<Tensor> {
    Ok(kernel.f_sum_dim_intlist([1i64].as_slice(), true, Kind::Float)?)
}
