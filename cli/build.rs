//! Linker flags for libtorch, when it is built in.
fn main() {
    #[cfg(feature = "torch")]
    etude_link::emit();
}
