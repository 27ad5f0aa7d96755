// After a 101 the two connections are pipes: what one reads the other sends. Each reads on only when
// the other's last bytes are out, so a slow end holds the fast one back (RFC 9110 §7.8).

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTP1

extension ClientConnection {
  /// Answers 101 and joins this connection to an origin's.
  func beginTunnel(to origin: OriginConnection, lines: ByteView) {
    phase = .tunnel
    isLast = true
    tunnel = origin.token
    HTTP1Writer.statusLine(101, to: &worker.out)
    worker.out.append(lines)
    worker.out.append("\r\n")
    touchTunnel()
    flush()
  }

  private var origin: OriginConnection? { tunnel.flatMap { worker.origins.element($0) } }

  private func touchTunnel() {
    setDeadline(worker.now.monotonic + worker.clientSettings.idleTimeout)
  }

  /// Moves what there is, both ways.
  func pumpTunnel() {
    guard let origin else {
      finishTunnelAfterOutput()
      return
    }
    flush()
    if phase == .closed { return }
    pumpToOrigin(origin)
    if phase == .closed { return }
    pumpFromOrigin(origin)
    if phase == .closed { return }
    let hasEnded = peerEnded && unread.isEmpty && !isReadable
    if hasEnded { origin.endTunnelSending() }
    if origin.hasEnded && output.isEmpty && worker.out.isEmpty {
      // Each direction ends for itself, when all of it is through.
      if hasEnded && origin.backlog == 0 { closeTunnel() } else { endSendingSide() }
    }
  }

  private func pumpToOrigin(_ origin: OriginConnection) {
    while writeBudget > 0, origin.flush() {
      if unread.isEmpty, !readMore() { return }
      let bytes = unread
      origin.send(bytes)
      consumed += bytes.count
      writeBudget -= bytes.count
      touchTunnel()
    }
    if writeBudget <= 0 { worker.runAgain(token) }
  }

  private func pumpFromOrigin(_ origin: OriginConnection) {
    while writeBudget > 0, flush() {
      let bytes = origin.readForTunnel()
      if bytes.isEmpty { return }
      worker.out.append(bytes)
      touchTunnel()
    }
    if phase != .closed && writeBudget <= 0 { worker.runAgain(token) }
  }

  private func finishTunnelAfterOutput() {
    if flush() { close() }
  }

  func closeTunnel() {
    close()
  }

  func closeTunnelPeer() {
    if let origin { worker.close(origin) }
    tunnel = nil
  }
}
