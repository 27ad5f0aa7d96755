/// How the other side ended a connection.
package enum Ending: Sendable, Equatable {
  /// It closed its side.
  case closed
  /// It reset the connection.
  case reset
}

extension Wire {
  /// Reads whatever comes to the end, however it ends.
  func readToEnding() async throws(PeerFailure) -> (bytes: [UInt8], ending: Ending) {
    do throws(PeerFailure) {
      let bytes = try await readToEnd()
      return (bytes, .closed)
    } catch {
      guard error.kind == .reset else { throw error }
      return (takeUnread(), .reset)
    }
  }

  /// Fails unless the next thing is a clean end.
  func expectClosed() async throws(PeerFailure) {
    guard !hasUnread, try await !fill("expecting the end of the connection") else {
      throw failure(.unexpected, "expected the end of the connection, got \(preview())")
    }
  }

  /// Fails unless the connection ends with a reset; bytes before it are dropped.
  func expectReset() async throws(PeerFailure) {
    let (bytes, ending) = try await readToEnding()
    guard ending == .reset else {
      throw failure(
        .unexpected,
        "expected a reset, got a clean end behind \(Wire.text(Array(bytes.suffix(200))))")
    }
  }
}
