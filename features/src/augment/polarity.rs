//! The other sign.

/// x -> -x
pub fn invert(wave: &mut [f32]) {
    wave.iter_mut().for_each(|x| *x = -*x);
}

#[cfg(test)]
mod tests {
    #[test]
    fn twice_is_nothing() {
        let mut x = [0.5, -1.0, 0.0];
        super::invert(&mut x);
        assert_eq!(x, [-0.5, 1.0, 0.0]);
        super::invert(&mut x);
        assert_eq!(x, [0.5, -1.0, 0.0]);
    }
}
