//! What looks at AWS and counts: the meter, the doctor.

#![expect(clippy::expect_used, reason = "a broken promise ends the test")]

mod doctor;
mod meter;
