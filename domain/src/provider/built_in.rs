//! The provider files that come with the program.

/// Name and text, by name.
pub(super) const FILES: &[(&str, &str)] = &[
    ("generic", include_str!("files/generic.toml")),
    ("standard-webhooks", include_str!("files/standard-webhooks.toml")),
    ("stripe", include_str!("files/stripe.toml")),
];
