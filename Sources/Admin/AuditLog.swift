// Who changed what, as lines of JSON in a file: written before the answer goes out, by the admin's
// thread, with one call for each line (a file that is appended to takes a line whole). It is meant to be
// kept apart from the node's own log, for longer and by others.

internal import Bytes
internal import CLinux
package import Edge
package import EventLoop
internal import ObjectStore
import Synchronization

/// Where changes are written down: a file, another after a reload, or nowhere.
package final class AuditLog: Sendable {
  /// A file that is open.
  package final class File: Sendable {
    fileprivate let path: String
    fileprivate let descriptor: Descriptor

    /// Opens it, making it if it is missing, for the owner and the group alone.
    package init(_ path: String) throws(Errno) {
      let number = unsafe weir_open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0o640)
      guard number >= 0 else { throw .current }
      self.path = path
      descriptor = Descriptor(owning: number)
    }
  }

  private struct State {
    var file: File?
    var hasFailed = false
  }

  private let state = Mutex(State())
  private let note: @Sendable (String) -> Void

  /// A log that writes nothing yet; `note` is told what cannot be written.
  package init(note: @escaping @Sendable (String) -> Void) { self.note = note }

  /// Writes to another file from now on; nil: nowhere.
  package func adopt(_ file: File?) { state.withLock { $0 = State(file: file) } }

  /// Opens the path again, after its file was moved away; goes on with the old one if that fails.
  package func reopen() {
    guard let path = state.withLock({ $0.file?.path }) else { return }
    do throws(Errno) {
      adopt(try File(path))
    } catch {
      note("audit log: cannot open \(path) again: \(error)")
    }
  }

  /// Writes a line. What cannot be written is said in the node's log, once until a write succeeds.
  func write(_ line: JSONText) {
    let bytes = Array((line.text + "\n").utf8)
    let failure = state.withLock { state -> (path: String, error: Errno)? in
      guard let file = state.file else { return nil }
      var rest = bytes[...]
      while !rest.isEmpty {
        // Safe: the kernel reads what the slice covers, within the call.
        let count = unsafe rest.withUnsafeBytes {
          unsafe CLinux.write(file.descriptor.number, $0.baseAddress, $0.count)
        }
        if count < 0 {
          if weir_errno() == EINTR { continue }
          let error = Errno.current
          defer { state.hasFailed = true }
          return state.hasFailed ? nil : (file.path, error)
        }
        rest = rest.dropFirst(count)
      }
      state.hasFailed = false
      return nil
    }
    if let failure { note("audit log: cannot write \(failure.path): \(failure.error)") }
  }
}

/// Something that was changed, or was to be.
struct AuditEntry {
  /// What was done: a word that stays.
  let action: String
  /// Who asked.
  let caller: Caller
  /// From where: an address, or a user and a process of this machine.
  let peer: AdminPeer
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
      AuditEntry(
        action: "purge", caller: event.caller, peer: .network(event.client), details: details
      )
      .line(at: event.time))
  }
}
