// Viewer response, the page: the policy that names the sockets of the very host that was asked.
// A distribution's own name is not known while it is being described, so it is filled in here.
const POLICY = '%POLICY%'

function handler(event) {
  const host = event.request.headers.host
  if (host) {
    const value = POLICY.split('%HOST%').join(host.value)
    event.response.headers['content-security-policy'] = { value: value }
  }
  return event.response
}
