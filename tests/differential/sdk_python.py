"""Judges cases with the providers' own Python libraries: JSON lines in, one verdict a line out.

A verdict is `valid`, `invalid`, or the answer to a challenge. An error of a library that comes after
its check (a body that is not JSON) counts as valid: the check is what is compared.
"""

import datetime
import json
import sys
import time
import types
import urllib.parse

import Adyen.util
import braintree
import gocardless_pro.webhooks
import razorpay
import slack_sdk.signature
import standardwebhooks
import standardwebhooks.webhooks
import stripe
import svix.webhooks
from paddle_billing.Notifications import Secret, Verifier
from square.utils.webhooks_helper import verify_signature

clock = {"now": 0}
time.time = lambda: float(clock["now"])
import paddle_billing.Notifications.Verifier as paddle_verifier  # noqa: E402

sys.modules["paddle_billing.Notifications.Verifier"].time = time.time


class FakeDatetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(clock["now"], tz)


standardwebhooks.webhooks.datetime = FakeDatetime


class SlackClock(slack_sdk.signature.Clock):
    def now(self):
        return clock["now"]


def header(case, name):
    return next((value for n, value in case["headers"] if n == name), None)


def judge_stripe(case):
    return stripe.WebhookSignature.verify_header(case["body"], header(case, "stripe-signature"), case["secrets"][0], 300)


def judge_paddle(case):
    request = types.SimpleNamespace(body=case["body"].encode(), headers={"Paddle-Signature": header(case, "paddle-signature")})
    return Verifier(5).verify(request, Secret(case["secrets"][0]))


def judge_standard(case):
    standardwebhooks.Webhook(case["secrets"][0]).verify(case["body"], dict(case["headers"]), json_parse=False)
    return True


def judge_svix(case):
    svix.webhooks.Webhook(case["secrets"][0]).verify(case["body"], dict(case["headers"]))
    return True


def judge_slack(case):
    verifier = slack_sdk.signature.SignatureVerifier(case["secrets"][0], SlackClock())
    return verifier.is_valid(case["body"], header(case, "x-slack-request-timestamp"), header(case, "x-slack-signature"))


def judge_gocardless(case):
    gocardless_pro.webhooks._verify_signature(case["body"], case["secrets"][0], header(case, "webhook-signature"))
    return True


def judge_razorpay(case):
    return razorpay.Utility().verify_webhook_signature(case["body"], header(case, "x-razorpay-signature"), case["secrets"][0])


def judge_square(case):
    return verify_signature(
        request_body=case["body"], signature_header=header(case, "x-square-hmacsha256-signature"),
        signature_key=case["secrets"][0], notification_url=case["url"],
    )


def judge_adyen_platform(case):
    return Adyen.util.is_valid_hmac_payload(header(case, "hmacsignature"), case["secrets"][0], case["body"].encode())


def judge_adyen_item(case):
    # The library looks at one item; all of them are asked, as its documentation wants.
    items = json.loads(case["body"])["notificationItems"]
    return all(Adyen.util.is_valid_hmac_notification(i["NotificationRequestItem"], case["secrets"][0]) for i in items)


def gateway(case):
    public, private = case["secrets"][0].split(":")
    settings = braintree.Configuration(braintree.Environment.Sandbox, merchant_id="m", public_key=public, private_key=private)
    return braintree.BraintreeGateway(settings)


def judge_braintree(case):
    form = urllib.parse.parse_qs(case["body"], keep_blank_values=True)
    try:
        gateway(case).webhook_notification.parse(form["bt_signature"][0], form["bt_payload"][0])
    except braintree.exceptions.invalid_signature_error.InvalidSignatureError:
        return False
    except Exception:
        pass  # The XML is read behind the check.
    return True


def judge_challenge(case):
    return gateway(case).webhook_notification.verify(case["challenge"])


JUDGES = {
    "stripe": [("python stripe", judge_stripe)],
    "paddle": [("python paddle", judge_paddle)],
    "standard": [("python standardwebhooks", judge_standard), ("python svix", judge_svix)],
    "slack": [("python slack", judge_slack)],
    "gocardless": [("python gocardless", judge_gocardless)],
    "razorpay": [("python razorpay", judge_razorpay)],
    "square": [("python square", judge_square)],
    "adyen-platform": [("python adyen", judge_adyen_platform)],
    "adyen-item": [("python adyen", judge_adyen_item)],
    "braintree": [("python braintree", judge_braintree)],
    "braintree-challenge": [("python braintree", judge_challenge)],
}

for line in sys.stdin:
    case = json.loads(line)
    clock["now"] = case["now"]
    for name, judge in JUDGES.get(case["family"], []):
        try:
            found = judge(case)
            verdict = found if isinstance(found, str) else "valid" if found else "invalid"
        except Exception:
            verdict = "invalid"
        print(json.dumps({"id": case["id"], "sdk": name, "verdict": verdict}))
