// Viewer request, /api/: the origin gets a Host that its certificate covers, and reads here
// which one the viewer asked for. What the viewer put here is overwritten.
function handler(event) {
  const request = event.request
  request.headers['x-forwarded-host'] = { value: request.headers.host.value }
  return request
}
