// Who changed what, as lines of JSON in a file: written before the answer goes out, by the admin's
// thread, with one call for each line (a file that is appended to takes a line whole). It is meant to be
// kept apart from the node's own log, for longer and by others.

internal import Bytes
internal import CLinux
package import Edge
package import EventLoop
internal import ObjectStore
import Synchronization

/// Where changes are written down.
package final class AuditLog: Sendable {
  private struct State {
    var number: Int32
    var hasFailed = false
  }

  private let path: String
  private let state: Mutex<State>
  private let note: @Sendable (String) -> Void

  /// Opens the file, making it if it is missing, for the owner and the group alone.
  package init(_ path: String, note: @escaping @Sendable (String) -> Void) throws(Errno) {
    self.path = path
    self.note = note
    state = Mutex(State(number: try Self.open(path)))
  }

  deinit { state.withLock { _ = close($0.number) } }

  private static func open(_ path: String) throws(Errno) -> Int32 {
    let number = unsafe weir_open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0o640)
    guard number >= 0 else { throw .current }
    return number
  }

  /// Opens the path again, after its file was moved away; goes on with the old one if that fails.
  package func reopen() {
    do throws(Errno) {
      let fresh = try Self.open(path)
      state.withLock { state in
        _ = close(state.number)
        state = State(number: fresh)
      }
    } catch {
      note("audit log: cannot open \(path) again: \(error)")
    }
  }

  /// Writes a line. What cannot be written is said in the node's log, once until a write succeeds.
  func write(_ line: JSONText) {
    let bytes = Array((line.text + "\n").utf8)
    let failure = state.withLock { state -> Errno? in
      var rest = bytes[...]
      while !rest.isEmpty {
        // Safe: the kernel reads what the slice covers, within the call.
        let count = unsafe rest.withUnsafeBytes {
          unsafe CLinux.write(state.number, $0.baseAddress, $0.count)
        }
        if count < 0 {
          if weir_errno() == EINTR { continue }
          let error = Errno.current
          defer { state.hasFailed = true }
          return state.hasFailed ? nil : error
        }
        rest = rest.dropFirst(count)
      }
      state.hasFailed = false
      return nil
    }
    if let failure { note("audit log: cannot write \(path): \(failure)") }
  }
}

/// Something that was changed, or was to be.
struct AuditEntry {
  /// What was done: a word that stays.
  let action: String
  /// Who asked.
  let caller: Caller
  let peer: SocketAddress
  /// To what, and what came of it.
  let details: [(name: String, value: JSONText)]

  /// The line of it.
  func line(at wall: Int64) -> JSONText {
    .object(
      [
        ("time", .string(Timestamp.text(wall))), ("action", .string(action)),
        ("who", .string(caller.name)), ("peer", .string("\(peer)")),
      ] + details)
  }
}

extension AuditLog {
  /// Writes a purge down that a `PURGE` request asked for. Any thread.
  package func write(_ event: SitePurgeEvent) {
    var details: [(name: String, value: JSONText)] = [
      ("url", .string(event.url)), ("tags", .array(event.tags.map { .string($0) })),
      ("soft", .bool(event.isSoft)),
    ]
    switch event.outcome {
    case .success(let receipt): details.append(("id", .number(receipt.record.id)))
    case .failure(let failure): details.append(("failure", .string(Purge.text(of: failure))))
    }
    write(
      AuditEntry(action: "purge", caller: event.caller, peer: event.client, details: details)
        .line(at: event.time))
  }
}
