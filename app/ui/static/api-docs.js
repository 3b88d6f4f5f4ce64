// Swagger UI on `/docs`: our own document, no validator of another host, and the CSRF token that
// state changes of a browser need.

const session = await (await fetch("/api/v1/session")).json();

window.SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  docExpansion: "none",
  validatorUrl: null,
  requestInterceptor(request) {
    request.headers["x-csrf-token"] = session.csrf;
    return request;
  },
});
