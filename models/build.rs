//! Linker flags for libtorch.
fn main() {
    etude_link::emit();
}
