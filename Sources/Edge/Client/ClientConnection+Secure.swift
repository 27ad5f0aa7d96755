// What is different where there is TLS under a connection.

internal import Bytes
internal import EventLoop
internal import HTTP1

extension ClientConnection {
  /// Reads what the client has sent.
  @inline(__always)
  func receive(into buffer: UnsafeMutableRawBufferPointer) -> IOResult {
    if let secure { return unsafe secure.receive(into: buffer) }
    return unsafe socket.receive(into: buffer)
  }

  /// Whether a read of so many bytes says that there are no more. OpenSSL hands out a record at a time.
  @inline(__always)
  func isDrained(after count: Int, of limit: Int) -> Bool {
    if let secure { return secure.isDrained }
    return count < limit
  }

  /// Whether a record waits that the kernel did not take.
  @inline(__always)
  var hasUnsentRecord: Bool { secure?.hasUnsent ?? false }

  /// Sends a record that waits; whether it is out.
  func sendRecord(_ secure: SecureLink) -> Bool {
    guard isWritable else { return false }
    let result = secure.flush()
    guard result.count != nil else {
      if result.wouldBlock { blocked() } else { close() }
      return false
    }
    if isBlocked && output.isEmpty {
      isBlocked = false
      if phase == .exchange { resumeBodyDeadline() }
    }
    return true
  }

  /// Sends a chunk, which is announced already; what is not taken of it is kept.
  func sendSecureChunk(_ piece: ByteView, _ secure: SecureLink) -> Int {
    let before = worker.out.count
    let total = before + piece.count
    let sent = wrote(
      secure.send(worker.out.view, piece, now: worker.now.monotonic), of: total)
    if phase == .closed { return 0 }
    if sent < before { keep(worker.out.view.dropping(first: sent)) }
    worker.out.removeAll()
    if sent < total {
      keep(piece.dropping(first: max(0, sent - before)))
      keep(ByteView("\r\n"))
    } else {
      // With what comes next, in one record.
      worker.out.append("\r\n")
    }
    return piece.count
  }

  /// Sends what is left of the last response with the close_notify behind it, if all of it is at hand.
  func sendEnd(_ secure: SecureLink) {
    let bytes = worker.out.view
    guard !bytes.isEmpty, output.isEmpty, isWritable,
      let result = secure.end(with: bytes, now: worker.now.monotonic)
    else { return }
    // All of it is taken, or the connection is closed.
    _ = wrote(result, of: bytes.count)
    worker.out.removeAll()
  }

  /// Ends our side: with TLS by a close_notify, without which an end could be anybody's.
  func endSendingSide() {
    if let secure, output.isEmpty { secure.endSending() }
    socket.shutdownSending()
  }

  /// A close_notify in front of a close, if nothing is broken off by it.
  func sayGoodbye(_ secure: SecureLink) {
    let isBroken = exchange.hasSentHead && phase == .exchange || !output.isEmpty
    guard !wasReset, !isBroken, !secure.hasUnsent else { return }
    secure.endSending()
  }
}
