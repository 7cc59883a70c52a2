"""Makes the cases of the differential test: genuine requests and mutated ones, one JSON object a line.

usage: cases.py COUNT SEED

Every case has a family (which libraries can judge it), a `what` (what was done to it) and all that a
verifier needs. Nothing here says whether a case is valid: the verdicts are compared with each other.
Bodies are text, since some libraries take nothing else.
"""

import base64
import hashlib
import hmac
import json
import random
import sys
import urllib.parse

NOW = 1_790_000_000
TABLES = {
    "stripe": "scheme = 'stripe'",
    "paddle": "scheme = 'timestamped-list'\nheader = 'paddle-signature'\nseparator = ';'\ntimestamp_key = 'ts'\n"
    "signature_key = 'h1'\ncontent = '{timestamp}:{body}'\ntolerance_seconds = 5",
    "standard": "scheme = 'standard-webhooks'",
    "github": "scheme = 'body-hmac'\nheader = 'x-hub-signature-256'",
    "gocardless": "scheme = 'hmac'\nheader = 'webhook-signature'\ncontent = '{body}'",
    "razorpay": "scheme = 'hmac'\nheader = 'x-razorpay-signature'\ncontent = '{body}'",
    "shopify": "scheme = 'hmac'\nheader = 'x-shopify-hmac-sha256'\ncontent = '{body}'\nencoding = 'base64'",
    "slack": "scheme = 'hmac'\nheader = 'x-slack-signature'\nprefix = 'v0='\ncontent = 'v0:{timestamp}:{body}'\n"
    "timestamp_header = 'x-slack-request-timestamp'",
    "square": "scheme = 'hmac'\nheader = 'x-square-hmacsha256-signature'\ncontent = '{url}{body}'\nencoding = 'base64'",
    "adyen-platform": "scheme = 'hmac'\nheader = 'hmacsignature'\ncontent = '{body}'\nencoding = 'base64'\nkey = 'hex'",
    "adyen-item": "scheme = 'adyen'",
    "braintree": "scheme = 'braintree'",
    "braintree-challenge": "scheme = 'braintree'",
}
WORDS = ["évènement", "ключ", "日本", "a\\b", 'q"q', "tab\t", "<&>", "/x/", "plain", "", "🙂", "0", "null", "a:b", " lead"]


def mac(key, message, hash=hashlib.sha256):
    return hmac.new(key, message, hash).digest()


def body_of(rng):
    """JSON in the styles of several writers, and now and then something that is none."""
    if rng.random() < 0.05:
        return rng.choice(["hello-world", "a=1&b=2", "{", "x\n", "\u00e9\u0000", "[]", "7", " {} "])
    value = {
        "id": "evt_%d" % rng.randrange(10**9),
        "n": rng.choice([0, -1, 2**53 + 1, 1.5, 1e30, True, None]),
        "data": {rng.choice(WORDS): rng.choice(WORDS) for _ in range(rng.randrange(4))},
        "list": [rng.choice(WORDS) for _ in range(rng.randrange(3))],
    }
    style = rng.randrange(4)
    text = [
        lambda: json.dumps(value),
        lambda: json.dumps(value, separators=(",", ":"), ensure_ascii=False),
        lambda: json.dumps(value, indent=2, ensure_ascii=False),
        lambda: json.dumps(value, indent=4).replace("\n", "\r\n"),
    ][style]()
    return text + rng.choice(["", "", "", "\n"])


def touched(rng, text):
    """The text with one small change; never the same text."""
    if not text:
        return "x"
    at = rng.randrange(len(text))
    return rng.choice(
        [
            lambda: text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :],
            lambda: text[:at] + " " + text[at:],
            lambda: text + "\n",
            lambda: text[:-1],
            lambda: text.replace("\r\n", "\n") if "\r\n" in text else text + " ",
        ]
    )()


def signature_mutations(rng, text):
    """Ways to spoil, or only to write differently, an encoded signature."""
    at = rng.randrange(len(text))
    other = rng.choice([c for c in "0123456789abcdef" if c != text[at].lower()])
    return {
        "signature: one letter": text[:at] + other + text[at + 1 :],
        "signature: cut": text[:-1],
        "signature: longer": text + "0",
        "signature: upper case": text.upper(),
        "signature: not encoded": "z" * len(text),
        "signature: unpadded": text.rstrip("="),
        "signature: space in front": " " + text,
    }


class Family:
    def __init__(self, rng, name):
        self.rng, self.name, self.secret = rng, name, "secret_%x" % rng.randrange(2**40)
        self.body, self.now, self.url = body_of(rng), NOW, None

    def case(self, what, headers, body=None, secret=None, **more):
        return dict(
            family=self.name, table=TABLES[self.name], what=what, headers=[list(h) for h in headers],
            body=self.body if body is None else body, secrets=[secret or self.secret], now=self.now,
            url=self.url, **more,
        )


def timed(rng, name):
    """Stripe, Paddle, Slack, Standard Webhooks: a signed time."""
    f = Family(rng, name)
    tolerance = 5 if name == "paddle" else 300
    msg = "msg_%d" % rng.randrange(10**6)
    if name == "standard":
        f.secret = "whsec_" + base64.b64encode(rng.randbytes(rng.randrange(24, 64))).decode()
    key = base64.b64decode(f.secret[6:]) if name == "standard" else f.secret.encode()

    def sign(time, body, key=key):
        content = {"stripe": f"{time}.{body}", "paddle": f"{time}:{body}", "slack": f"v0:{time}:{body}",
                   "standard": f"{msg}.{time}.{body}"}[name].encode()
        digest = mac(key, content)
        return base64.b64encode(digest).decode() if name == "standard" else digest.hex()

    def headers(time, signature, extra=""):
        return {
            "stripe": lambda: [("stripe-signature", f"t={time},v1={signature}{extra}")],
            "paddle": lambda: [("paddle-signature", f"ts={time};h1={signature}{extra}")],
            "slack": lambda: [("x-slack-request-timestamp", f"{time}"), ("x-slack-signature", f"v0={signature}{extra}")],
            "standard": lambda: [("webhook-id", msg), ("webhook-timestamp", f"{time}"),
                                 ("webhook-signature", f"v1,{signature}{extra}")],
        }[name]()

    time = NOW - rng.randrange(tolerance + 1)
    good = sign(time, f.body)
    yield f.case("genuine", headers(time, good))
    yield f.case("body touched", headers(time, good), body=touched(rng, f.body))
    other = "whsec_" + base64.b64encode(b"o" * 24).decode() if name == "standard" else f.secret + "x"
    yield f.case("other secret", headers(time, good), secret=other)
    yield f.case("time touched", headers(time - 1, good))
    for what, offset in [("old by a second", -tolerance - 1), ("old", -10**6), ("just not old", -tolerance)]:
        yield f.case(what, headers(NOW + offset, sign(NOW + offset, f.body)))
    for what, offset in [("in the future", tolerance + 1), ("far in the future", 10**6), ("just not in the future", tolerance)]:
        yield f.case(what, headers(NOW + offset, sign(NOW + offset, f.body)))
    for what, spoilt in signature_mutations(rng, good).items():
        yield f.case(what, headers(time, spoilt))
    for what, written in [("time: zero in front", f"0{time}"), ("time: plus in front", f"+{time}"),
                          ("time: fraction", f"{time}.0"), ("time: letters behind", f"{time}x"),
                          ("time: space in front", f" {time}"), ("time: no number", "yesterday")]:
        yield f.case(what + ", signed as written", headers(written, sign(written, f.body)))
        yield f.case(what + ", signed as read", headers(written, good))
    for at in range(len(headers(time, good))):
        yield f.case("a header is missing", [h for n, h in enumerate(headers(time, good)) if n != at])
    wrong = sign(time, f.body + "x")
    join = {"stripe": f",v1={good}", "paddle": f";h1={good}", "standard": f" v1,{good}"}.get(name)
    if join:
        yield f.case("wrong, then good", headers(time, wrong, join))
        yield f.case("good, then wrong", headers(time, good, join.replace(good, wrong)))
        yield f.case("good, then rubbish", headers(time, good, join.replace(good, "rubbish")))
        unknown = {"stripe": ",v0=00", "paddle": ";h2=00", "standard": " v2,AAAA"}[name]
        yield f.case("good, then an unknown version", headers(time, good, unknown))
        yield f.case("only an unknown version", [(n, v.replace("v1=", "v0=").replace("h1=", "h2=").replace("v1,", "v2,"))
                                                 for n, v in headers(time, good)])
    if name in ("stripe", "paddle"):
        again = {"stripe": f",t={time}", "paddle": f";ts={time}"}[name]
        yield f.case("the time twice", headers(time, good, again))


def plain(rng, name):
    """A signature of the body alone."""
    f = Family(rng, name)
    encode = lambda digest: base64.b64encode(digest).decode() if name in ("shopify", "square", "adyen-platform") else digest.hex()
    key = f.secret.encode()
    if name == "adyen-platform":
        f.secret = rng.randbytes(32).hex().upper()
        key = bytes.fromhex(f.secret)
    if name == "square":
        f.url = "https://example.com/webhooks/%d?x=1" % rng.randrange(9)
    sign = lambda body, key=key: encode(mac(key, ((f.url or "") + body).encode()))
    header, prefix = {
        "github": ("x-hub-signature-256", "sha256="), "gocardless": ("webhook-signature", ""),
        "razorpay": ("x-razorpay-signature", ""), "shopify": ("x-shopify-hmac-sha256", ""),
        "square": ("x-square-hmacsha256-signature", ""), "adyen-platform": ("hmacsignature", ""),
    }[name]
    headers = lambda signature, prefix=prefix: [(header, prefix + signature)]
    good = sign(f.body)
    yield f.case("genuine", headers(good))
    yield f.case("body touched", headers(good), body=touched(rng, f.body))
    yield f.case("other secret", headers(good), secret="AB" + f.secret[2:] if name == "adyen-platform" else f.secret + "x")
    for what, spoilt in signature_mutations(rng, good).items():
        yield f.case(what, headers(spoilt))
    yield f.case("a header is missing", [])
    if prefix:
        yield f.case("no prefix", headers(good, ""))
        yield f.case("other prefix", headers(good, "sha1="))
    if name == "square":
        case = f.case("other address", headers(good))
        case["url"] = f.url.replace("https", "http")
        yield case


def adyen_items(rng, name):
    f = Family(rng, name)
    f.secret = rng.randbytes(32).hex().upper()
    names = ["pspReference", "originalReference", "merchantAccountCode", "merchantReference"]

    def item():
        it = {
            "pspReference": "P%d" % rng.randrange(10**9), "merchantAccountCode": "Shop_" + rng.choice("AB"),
            "merchantReference": rng.choice(WORDS), "amount": {"value": rng.choice([0, "0", 1, 1000, "13606"]), "currency": "EUR"},
            "eventCode": rng.choice(["AUTHORISATION", "CAPTURE"]), "success": rng.choice(["true", "false"]),
            "eventDate": "2026-01-01T00:00:00+01:00", "reason": "r", "operations": ["CANCEL"],
        }
        if rng.random() < 0.5:
            it["originalReference"] = rng.choice(["O1", "", "O2"])
        return it

    def text(value):
        return "" if value is None else "true" if value is True else "false" if value is False else str(value)

    def sign(it, key=None):
        fields = [text(it.get(n)) for n in names]
        amount = it.get("amount") or {}
        fields += [text(amount.get("value")), text(amount.get("currency")), text(it.get("eventCode")), text(it.get("success"))]
        return base64.b64encode(mac(bytes.fromhex(key or f.secret), ":".join(fields).encode())).decode()

    def signed(it):
        return dict(it, additionalData={"hmacSignature": sign(it), "x": "y"})

    def request(items):
        return json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": it} for it in items]},
                          ensure_ascii=rng.random() < 0.5)

    good = signed(item())
    yield f.case("genuine", [], body=request([good]))
    yield f.case("genuine, three items", [], body=request([good, signed(item()), signed(item())]))
    yield f.case("second item touched", [], body=request([good, dict(signed(item()), pspReference="X")]))
    yield f.case("other secret", [], body=request([good]), secret="AB" + f.secret[2:])
    for n in names + ["eventCode", "success"]:
        yield f.case(f"{n} touched", [], body=request([dict(good, **{n: "X" + text(good.get(n))})]))
    for n in ["value", "currency"]:
        yield f.case(f"amount.{n} touched", [], body=request([dict(good, amount=dict(good["amount"], **{n: "9X"}))]))
    yield f.case("what is not signed touched", [], body=request([dict(good, reason="other", eventDate="2099")]))
    yield f.case("a number becomes text", [], body=request([dict(good, amount=dict(good["amount"], value=str(good["amount"]["value"])))]))
    yield f.case("an absent field becomes null", [], body=request([dict({"originalReference": None}, **good)]))
    yield f.case("success becomes a boolean", [], body=request([dict(good, success=good["success"] == "true")]))
    yield f.case("a field becomes a list", [], body=request([dict(good, pspReference=[good["pspReference"]])]))
    yield f.case("a colon where none belongs", [], body=request([signed(dict(item(), pspReference="P:1"))]))
    for what, spoilt in signature_mutations(rng, good["additionalData"]["hmacSignature"]).items():
        yield f.case(what, [], body=request([dict(good, additionalData={"hmacSignature": spoilt})]))
    yield f.case("no signature", [], body=request([dict(good, additionalData={})]))
    yield f.case("signature null", [], body=request([dict(good, additionalData={"hmacSignature": None})]))
    yield f.case("no additionalData", [], body=request([item()]))


def braintree(rng, name):
    f = Family(rng, name)
    public, private = "pk%d" % rng.randrange(10**6), "%032x" % rng.getrandbits(128)
    f.secret = f"{public}:{private}"
    sign = lambda payload, private=private: mac(hashlib.sha1(private.encode()).digest(), payload.encode(), hashlib.sha1).hex()
    xml = (
        '<notification><timestamp type="datetime">2026-09-21T14:13:20Z</timestamp><kind>check</kind>'
        f'<subject><check type="boolean">true</check></subject>{" " * rng.randrange(90)}</notification>'
    )
    payload = base64.encodebytes(xml.encode()).decode()

    def case(what, signature, payload=payload, secret=None):
        body = "bt_signature=%s&bt_payload=%s" % (urllib.parse.quote_plus(signature), urllib.parse.quote_plus(payload))
        return f.case(what, [], body=body, secret=secret)

    good = sign(payload)
    yield case("genuine", f"{public}|{good}")
    yield case("genuine, signed with a line break more", f"{public}|{sign(payload)}", payload[:-1])
    yield case("other key in front", f"other|{good}&{public}|{good}")
    yield case("the key twice, wrong first", f"{public}|{'0' * 40}&{public}|{good}")
    yield case("only another key", f"other|{good}")
    yield case("payload touched", f"{public}|{good}", "A" + payload)
    yield case("a line break more", f"{public}|{good}", payload + "\n")
    yield case("other private key", f"{public}|{good}", secret=f"{public}:{private[:-1]}x")
    yield case("illegal letters", f"{public}|{sign(payload + '<')}", payload + "<")
    for what, spoilt in signature_mutations(rng, good).items():
        yield case(what, f"{public}|{spoilt}")
    yield case("no separator", f"{public}{good}")
    yield case("a payload that is a challenge", f"{public}|{sign('ab' * 16)}", "ab" * 16)


def challenge(rng, name):
    f = Family(rng, name)
    f.secret = "pk%d:%032x" % (rng.randrange(10**6), rng.getrandbits(128))
    digits = "".join(rng.choice("0123456789abcdef") for _ in range(40))
    for length in [0, 19, 20, 32, 33, 40]:
        yield f.case(f"challenge of {length} digits", [], body="", challenge=digits[:length])
    yield f.case("challenge in upper case", [], body="", challenge="A" * 32)
    yield f.case("challenge that is none", [], body="", challenge="PG5vdGlmaWNhdGlvbi8+Cg==")


FAMILIES = {
    **{n: timed for n in ["stripe", "paddle", "standard", "slack"]},
    **{n: plain for n in ["github", "gocardless", "razorpay", "shopify", "square", "adyen-platform"]},
    "adyen-item": adyen_items, "braintree": braintree, "braintree-challenge": challenge,
}


def main():
    count, rng = int(sys.argv[1]), random.Random(int(sys.argv[2]))
    number = 0
    for _ in range(count):
        for name, make in FAMILIES.items():
            for case in make(rng, name):
                number += 1
                print(json.dumps(dict(case, id=f"{number}")))


main()
