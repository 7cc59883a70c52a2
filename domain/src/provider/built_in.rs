//! The provider files that come with the program. One more is one more file in `files/` and one more
//! line here.

/// Name and text, by name.
pub(super) const FILES: &[(&str, &str)] = &[
    ("adyen", include_str!("files/adyen.toml")),
    ("adyen-form", include_str!("files/adyen-form.toml")),
    ("adyen-platform", include_str!("files/adyen-platform.toml")),
    ("authorize-net", include_str!("files/authorize-net.toml")),
    ("braintree", include_str!("files/braintree.toml")),
    ("checkout", include_str!("files/checkout.toml")),
    ("coinbase-commerce", include_str!("files/coinbase-commerce.toml")),
    ("generic", include_str!("files/generic.toml")),
    ("github", include_str!("files/github.toml")),
    ("gocardless", include_str!("files/gocardless.toml")),
    ("lemon-squeezy", include_str!("files/lemon-squeezy.toml")),
    ("mollie", include_str!("files/mollie.toml")),
    ("mollie-classic", include_str!("files/mollie-classic.toml")),
    ("paddle", include_str!("files/paddle.toml")),
    ("paypal", include_str!("files/paypal.toml")),
    ("razorpay", include_str!("files/razorpay.toml")),
    ("shopify", include_str!("files/shopify.toml")),
    ("slack", include_str!("files/slack.toml")),
    ("square", include_str!("files/square.toml")),
    ("standard-webhooks", include_str!("files/standard-webhooks.toml")),
    ("stripe", include_str!("files/stripe.toml")),
    ("wise", include_str!("files/wise.toml")),
];
