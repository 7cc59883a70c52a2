//! Stripe-shaped bodies of about 1.1 KB for benchmarks: three events per payment, deterministic.

/// Events per payment: created, charge succeeded, intent succeeded.
pub const EVENTS_PER_PAYMENT: usize = 3;

/// Body number `n`. Payment `n / 3`, so the three events of a payment are neighbours, as they are
/// in a backlog.
pub fn body(n: usize) -> String {
    let payment = n / EVENTS_PER_PAYMENT;
    let created = 1_790_000_000 + n / 50;
    let amount = 100 + payment % 90_000;
    let (event_type, object) = match n % EVENTS_PER_PAYMENT {
        0 => ("payment_intent.created", intent(payment, amount, 0, "requires_payment_method")),
        1 => ("charge.succeeded", charge(payment, amount)),
        _ => ("payment_intent.succeeded", intent(payment, amount, amount, "succeeded")),
    };
    format!(
        r#"{{"id":"evt_{n:024}","object":"event","api_version":"2024-06-20","created":{created},"data":{{"object":{object}}},"livemode":true,"pending_webhooks":1,"request":{{"id":"req_{n:014}","idempotency_key":"8f14e45f-ceea-467f-9575-{n:012}"}},"type":"{event_type}"}}"#
    )
}

fn intent(payment: usize, amount: usize, received: usize, status: &str) -> String {
    format!(
        r#"{{"id":"pi_{payment:024}","object":"payment_intent","amount":{amount},"amount_capturable":0,"amount_details":{{"tip":{{}}}},"amount_received":{received},"application":null,"application_fee_amount":null,"automatic_payment_methods":null,"canceled_at":null,"cancellation_reason":null,"capture_method":"automatic","client_secret":"pi_{payment:024}_secret_x","confirmation_method":"automatic","created":1790000000,"currency":"eur","customer":"cus_{payment:014}","description":"Order {payment}","invoice":null,"last_payment_error":null,"latest_charge":"ch_{payment:024}","livemode":true,"metadata":{{"order_id":"{payment}","channel":"web"}},"next_action":null,"on_behalf_of":null,"payment_method":"pm_{payment:024}","payment_method_types":["card"],"receipt_email":null,"status":"{status}","transfer_group":null}}"#
    )
}

fn charge(payment: usize, amount: usize) -> String {
    format!(
        r#"{{"id":"ch_{payment:024}","object":"charge","amount":{amount},"amount_captured":{amount},"amount_refunded":0,"application":null,"balance_transaction":"txn_{payment:024}","billing_details":{{"address":{{"city":null,"country":"DE","line1":null,"line2":null,"postal_code":null,"state":null}},"email":null,"name":null,"phone":null}},"captured":true,"created":1790000000,"currency":"eur","customer":"cus_{payment:014}","disputed":false,"failure_code":null,"livemode":true,"metadata":{{"order_id":"{payment}"}},"outcome":{{"network_status":"approved_by_network","risk_level":"normal","seller_message":"Payment complete.","type":"authorized"}},"paid":true,"payment_intent":"pi_{payment:024}","payment_method":"pm_{payment:024}","refunded":false,"status":"succeeded"}}"#
    )
}
