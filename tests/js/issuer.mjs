// An issuer of tokens with keys of its own, and the server of its key set. Tokens are put together here: no library
// would make those that must be refused.

import { constants, createHmac, generateKeyPairSync, sign } from "node:crypto";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";

import { JWT_SECRET } from "./pod.mjs";

const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

/** Claims that are accepted by default. */
export const good = (claims = {}) => ({ sub: "ada", exp: Math.floor(Date.now() / 1000) + 300, ...claims });

/** A token of a header, claims, and what signs. */
export function token(header, claims, signer) {
  const message = `${part(header)}.${part(claims)}`;
  return `${message}.${Buffer.from(signer(message)).toString("base64url")}`;
}

export const hs256 = (secret) => (message) => createHmac("sha256", secret).update(message).digest();

/** A token that pods with the secret of the tests accept. */
export const jwt = (claims) => token({ alg: "HS256" }, good(claims), hs256(JWT_SECRET));

/** A key pair: `kid` names it, `jwk` is its public half in a set. */
export class Key {
  constructor(kid, alg = "ES256") {
    const kinds = {
      RS256: ["rsa", { modulusLength: 2048 }],
      PS256: ["rsa", { modulusLength: 2048 }],
      ES256: ["ec", { namedCurve: "P-256" }],
      ES384: ["ec", { namedCurve: "P-384" }],
      EdDSA: ["ed25519", {}],
    };
    const { publicKey, privateKey } = generateKeyPairSync(...kinds[alg]);
    Object.assign(this, { kid, alg, publicKey, privateKey });
    this.jwk = { ...publicKey.export({ format: "jwk" }), kid, use: "sig", alg };
    this.pem = publicKey.export({ format: "pem", type: "spki" });
  }

  sign = (message) => {
    const hash = this.alg === "EdDSA" ? null : `sha${this.alg.slice(2)}`;
    const padding = this.alg === "PS256" ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 } : {};
    return sign(hash, Buffer.from(message), { key: this.privateKey, dsaEncoding: "ieee-p1363", ...padding });
  };

  token(claims = good()) {
    return token({ alg: this.alg, kid: this.kid }, claims, this.sign);
  }
}

/** Serves a key set; `behave` says otherwise. */
export async function serveKeys(keys, tls) {
  const issuer = { requests: 0, keys, behave: undefined };
  const answer = (request, response) => {
    issuer.requests += 1;
    if (issuer.behave) return issuer.behave(response);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ keys: issuer.keys.map((key) => key.jwk) }));
  };
  const server = tls ? createTlsServer(tls, answer) : createServer(answer);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer.url = `${tls ? "https" : "http"}://127.0.0.1:${server.address().port}/jwks.json`;
  issuer.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return issuer;
}
