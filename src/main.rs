//! The `dgnet` executable. It never touches tensors, so it starts at once; training is done by
//! `dgnet-worker`, beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    dgnet::cli::main()
}
