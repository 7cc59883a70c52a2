// Judges cases with the providers' own Node libraries: JSON lines in, one verdict a line out, as
// sdk_python.py does.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

// The libraries stand in the folder that the script is started in.
const require = createRequire(pathToFileURL(join(process.cwd(), "x.cjs")));

let now = 0;
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given) {
    super(...(given.length ? given : [now * 1000]));
  }
  static now() {
    return now * 1000;
  }
};

const stripe = new (require("stripe"))("sk_test_none");
const { Webhook } = require("standardwebhooks");
const svix = require("svix");
const { hmacValidator } = require("@adyen/api-library");
const adyen = new hmacValidator();
const paddle = require("@paddle/paddle-node-sdk");
const square = require("square");
const braintree = require("braintree");
const razorpay = require("razorpay");
const gocardless = require("gocardless-nodejs/webhooks");
const octokit = await import(pathToFileURL(join(process.cwd(), "node_modules/@octokit/webhooks-methods/dist-node/index.js")));
require("@shopify/shopify-api/adapters/node");
const { shopifyApi, LATEST_API_VERSION, ApiVersion } = require("@shopify/shopify-api");

const header = (c, name) => (c.headers.find(([n]) => n === name) ?? [])[1];
const gateway = (c) => {
  const [publicKey, privateKey] = c.secrets[0].split(":");
  return new braintree.BraintreeGateway({
    environment: braintree.Environment.Sandbox, merchantId: "m", publicKey, privateKey,
  });
};
const shops = new Map();
const shop = (secret) => {
  if (!shops.has(secret)) {
    shops.clear();
    shops.set(secret, shopifyApi({
      apiKey: "k", apiSecretKey: secret, hostName: "example.com", isEmbeddedApp: true, scopes: ["read_orders"],
      apiVersion: LATEST_API_VERSION ?? Object.values(ApiVersion).at(-1), logger: { level: 0 },
    }));
  }
  return shops.get(secret);
};

const judges = {
  stripe: [["node stripe", (c) =>
    stripe.webhooks.signature.verifyHeader(c.body, header(c, "stripe-signature"), c.secrets[0], 300)]],
  paddle: [["node paddle", async (c) => {
    const webhooks = new paddle.Paddle("key").webhooks;
    return webhooks.isSignatureValid(c.body, c.secrets[0], header(c, "paddle-signature"));
  }]],
  standard: [
    ["node standardwebhooks", (c) =>
      new Webhook(c.secrets[0]).verify(c.body, Object.fromEntries(c.headers), { jsonParse: false }) ?? true],
    ["node svix", (c) => {
      try {
        new svix.Webhook(c.secrets[0]).verify(c.body, Object.fromEntries(c.headers));
      } catch (error) {
        // The body is read as JSON behind the check.
        if (!(error instanceof SyntaxError)) throw error;
      }
      return true;
    }],
  ],
  github: [["node octokit", (c) => octokit.verify(c.secrets[0], c.body, header(c, "x-hub-signature-256"))]],
  gocardless: [["node gocardless", (c) => {
    gocardless.verifySignature(c.body, c.secrets[0], header(c, "webhook-signature"));
    return true;
  }]],
  razorpay: [["node razorpay", (c) =>
    razorpay.validateWebhookSignature(c.body, header(c, "x-razorpay-signature"), c.secrets[0])]],
  shopify: [["node shopify", async (c) => {
    const more = { "x-shopify-topic": "t/t", "x-shopify-shop-domain": "d", "x-shopify-api-version": "1", "x-shopify-webhook-id": "1" };
    const rawRequest = { method: "POST", url: "/", headers: { ...more, ...Object.fromEntries(c.headers) } };
    return (await shop(c.secrets[0]).webhooks.validate({ rawBody: c.body, rawRequest })).valid;
  }]],
  square: [["node square", (c) =>
    square.WebhooksHelper.verifySignature({
      requestBody: c.body, signatureHeader: header(c, "x-square-hmacsha256-signature"),
      signatureKey: c.secrets[0], notificationUrl: c.url,
    })]],
  "adyen-platform": [["node adyen", (c) =>
    adyen.validateHMACSignature(c.secrets[0], header(c, "hmacsignature"), c.body)]],
  "adyen-item": [["node adyen", (c) =>
    JSON.parse(c.body).notificationItems.every((i) => adyen.validateHMAC(i.NotificationRequestItem, c.secrets[0]))]],
  braintree: [["node braintree", async (c) => {
    const form = new URLSearchParams(c.body);
    try {
      await gateway(c).webhookNotification.parse(form.get("bt_signature"), form.get("bt_payload"));
    } catch (error) {
      // The XML is read behind the check.
      if (error.type === "invalidSignatureError") throw error;
    }
    return true;
  }]],
  "braintree-challenge": [["node braintree", (c) => gateway(c).webhookNotification.verify(c.challenge)]],
};

for await (const line of createInterface({ input: process.stdin })) {
  const c = JSON.parse(line);
  now = c.now;
  for (const [sdk, judge] of judges[c.family] ?? []) {
    let verdict;
    try {
      const found = await judge(c);
      verdict = typeof found === "string" ? found : found ? "valid" : "invalid";
    } catch (error) {
      verdict = "invalid";
      if (process.env.DIFFERENTIAL_ERRORS) console.error(sdk, c.what, String(error).slice(0, 200));
    }
    console.log(JSON.stringify({ id: c.id, sdk, verdict }));
  }
}
