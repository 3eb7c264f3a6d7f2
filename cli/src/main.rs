//! etude.
fn main() {
    #[cfg(feature = "torch")]
    println!("{}", tch::Tensor::zeros([2], (tch::Kind::Float, tch::Device::Cpu)));
}
