// What the page of the API does on top of RapiDoc.
"use strict";

const api = document.getElementById("api");
const dark = matchMedia("(prefers-color-scheme: dark)");
const followTheme = () => api.setAttribute("theme", dark.matches ? "dark" : "light");
followTheme();
dark.addEventListener("change", followTheme);

// Requests go to where the page is from: the policy of the page allows no other origin.
api.setAttribute("server-url", location.origin);
api.setAttribute("default-api-server", location.origin);

// After a login that was tried here, further requests send its token.
api.addEventListener("after-try", (event) => {
  const body = event.detail.responseBody;
  if (body && body.tokenType === "Bearer") {
    api.setApiKey("bearer", body.token);
  }
});
