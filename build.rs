//! Gives `roomcast --version` its commit and build date.
//!
//! An image build has no `.git`: there `VERGEN_GIT_SHA` and `SOURCE_DATE_EPOCH` say it.

use vergen_gitcl::{BuildBuilder, Emitter, GitclBuilder};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    Emitter::default()
        .add_instructions(&BuildBuilder::default().build_date(true).build()?)?
        .add_instructions(&GitclBuilder::default().sha(true).build()?)?
        .emit()?;
    Ok(())
}
