// The certified provider with one person, ada, who is in a group: a login and a consent page.
import { Provider } from "oidc-provider";

const [issuer, redirect] = process.argv.slice(2);
const account = {
  sub: "ada",
  email: "ada@example.org",
  email_verified: true,
  groups: ["ml"],
};
const provider = new Provider(issuer, {
  clients: [
    {
      client_id: "thrive",
      client_secret: "our secret, of the test",
      redirect_uris: [redirect],
      grant_types: ["authorization_code"],
      response_types: ["code"],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["groups"] },
  findAccount: (_, id) => ({ accountId: id, claims: async () => ({ ...account, sub: id }) }),
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
});
provider.listen(Number(new URL(issuer).port), "127.0.0.1", () => console.log("ready"));
