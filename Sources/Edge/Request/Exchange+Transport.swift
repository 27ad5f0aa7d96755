// What a site says of TLS: plain HTTP is redirected, and browsers are told to stay with it.

internal import Bytes
internal import HTTPMessage

extension Exchange {
  /// Whether the connection's client was asked for a certificate as the route's site wants it. Whatever name
  /// was asked for in the handshake, a site that demands one is reached by no other connection
  /// (RFC 9110 §7.4).
  @inline(__always)
  func isAskedAsRouteWants(on connection: some ClientStream) -> Bool {
    if let secure {
      if secure.verification == generation.routes.routes[route].verification { return true }
    } else if !generation.routes.routes[route].demandsCertificate
      || generation.routes.redirectPorts[route] != 0
    {
      return true
    }
    refuseWay(on: connection)
    return false
  }

  private func refuseWay(on connection: some ClientStream) {
    if secure == nil {
      refuse(status: 403, text: "This site wants a client's certificate.", on: connection)
    } else {
      refuse(status: 421, text: "This connection is for another host.", on: connection)
    }
  }

  /// Whether the request is to be asked again with `https`. What proves a name to a certificate authority
  /// (RFC 8555 §8.3) is answered as it is.
  func redirectsToTLS(_ worker: Worker) -> Bool {
    guard generation.routes.redirectPorts[route] != 0 else { return false }
    let head = head(worker)
    return !head.bytes[head.path].starts(with: ByteView("/.well-known/acme-challenge/"))
  }

  /// Answers with the same address by TLS; 308, so that a form is sent again as it was.
  func redirectToTLS(on connection: some ClientStream) {
    let worker = connection.worker
    let head = head(worker)
    let host = RequestTarget.split(head.bytes[head.authority]).host
    guard !host.isEmpty else {
      refuse(status: 400, text: "There is no host to redirect to.", on: connection)
      return
    }
    let port = generation.routes.redirectPorts[route]
    worker.lines.removeAll()
    worker.lines.append("location: https://")
    worker.lines.appendLowercased(host)
    if port != 443 {
      worker.lines.append(ASCII.colon)
      worker.lines.append(decimal: UInt64(port))
    }
    RequestTarget.appendTarget(head.bytes[head.target], to: &worker.lines)
    worker.lines.append("\r\n")
    answer(status: 308, text: "This site is served by https.", on: connection)
  }

  /// Appends `Strict-Transport-Security` (RFC 6797) to the worker's lines, where the site wants it and the
  /// response has none.
  func appendTransportField(_ lines: ByteView, _ worker: Worker) {
    guard route < generation.routes.unrouted, status != 421 else { return }
    let value = generation.routes.transportFields[route]
    guard !value.isEmpty else { return }
    let name = ByteView("strict-transport-security")
    if FieldLines.range(of: name, in: lines) != nil
      || FieldLines.range(of: name, in: worker.lines.view) != nil
    {
      return
    }
    worker.lines.append(name)
    worker.lines.append(": ")
    value.withView { worker.lines.append($0) }
    worker.lines.append("\r\n")
  }
}
