// Viewer request, /api/: the origin gets a Host that its certificate covers, and reads here
// which one the viewer asked for, and from which address. What the viewer put here is overwritten.
function handler(event) {
  const request = event.request
  request.headers['x-forwarded-host'] = { value: request.headers.host.value }
  request.headers['x-cloudscribe-viewer'] = { value: event.viewer.ip }
  return request
}
