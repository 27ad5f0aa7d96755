// Keys of session tickets. A ticket is the whole state of a session, sealed by the server and kept by the
// client: so no worker stores sessions, and any worker or successor that has the key resumes any of them.
//
// What a key seals is as secret as the key, so keys are changed often (hours) and forgotten after the
// tickets' lifetime; between, a previous key still opens what it has sealed, and the client is given a new
// ticket under the current one. AES-256-CBC and HMAC-SHA-256, as RFC 5077 §4 recommends.

internal import COpenSSL
internal import Synchronization

/// A key for session tickets; random bytes, in process memory only.
package struct TicketKey: Equatable, Sendable {
  /// Bytes of a key as text from outside: name, cipher's key, authentication's key.
  package static var length: Int { 16 + 32 + 32 }

  let name: [UInt8]
  let cipherKey: [UInt8]
  let authenticationKey: [UInt8]

  /// A key from bytes shared by several nodes; nil unless they are `length` many.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count == TicketKey.length else { return nil }
    name = Array(bytes[0..<16])
    cipherKey = Array(bytes[16..<48])
    authenticationKey = Array(bytes[48..<80])
  }

  /// A new random key; nil if there is no randomness to be had.
  package static func random() -> TicketKey? {
    var bytes = [UInt8](repeating: 0, count: length)
    guard unsafe RAND_bytes(&bytes, Int32(length)) == 1 else { return nil }
    return TicketKey(bytes)
  }
}

/// The current key and those before it. Shared by all workers and by the contexts that follow each other
/// on reload; the lock is held for the copy of a reference, once a handshake.
package final class TicketKeyRing: Sendable {
  private struct Keys {
    /// The current one first.
    var keys: [TicketKey]
    /// When the current one came, in nanoseconds of whatever clock `rotateIfDue` is given.
    var since: Int64?
  }

  private let state: Mutex<Keys>
  /// What was begun with tickets of these keys before a handshake's end.
  let earlyData = EarlyDataRegister()
  /// How many previous keys still open tickets.
  private let kept: Int

  /// A ring with a random key; nil without randomness. With `kept` previous keys a ticket lives for that
  /// many rotations at least.
  package convenience init?(kept: Int = 2) {
    guard let key = TicketKey.random() else { return nil }
    self.init(current: key, kept: kept)
  }

  /// A ring that begins with the given key.
  package init(current: TicketKey, kept: Int = 2) {
    self.kept = max(0, kept)
    state = Mutex(Keys(keys: [current]))
  }

  /// Makes a key the current one; the oldest beyond those kept is forgotten.
  package func rotate(to key: TicketKey) {
    state.withLock { keys in
      keys.keys.removeAll { $0.name == key.name }
      keys.keys.insert(key, at: 0)
      if keys.keys.count > kept + 1 { keys.keys.removeLast(keys.keys.count - kept - 1) }
    }
  }

  /// Takes a new random key if the current one has been in use for `interval`; to be called from a timer
  /// of any worker. Without randomness the old key stays.
  package func rotateIfDue(now: Int64, interval: Int64) {
    let isDue = state.withLock { keys in
      guard let since = keys.since else {
        keys.since = now
        return false
      }
      guard now.subtractingReportingOverflow(since).partialValue >= interval else { return false }
      keys.since = now
      return true
    }
    if isDue, let key = TicketKey.random() { rotate(to: key) }
  }

  /// The key to seal with.
  func current() -> TicketKey? { state.withLock { $0.keys.first } }

  /// The key of a ticket, and whether it is the current one.
  func find(name: UnsafeBufferPointer<UInt8>) -> (key: TicketKey, isCurrent: Bool)? {
    let keys = state.withLock { $0.keys }
    for index in keys.indices where unsafe keys[index].name.elementsEqual(name) {
      return (keys[index], index == 0)
    }
    return nil
  }
}

/// What OpenSSL's callback for ticket keys answers.
private enum TicketAnswer: Int32 {
  case failed = -1
  case unknownKey = 0
  case use = 1
  case useAndRenew = 2
}

extension TicketKeyRing {
  /// Prepares OpenSSL's two contexts to seal (`seals`) or to open a ticket; the callback's answer.
  func prepare(
    name: UnsafeMutablePointer<UInt8>, iv: UnsafeMutablePointer<UInt8>,
    cipher: OpaquePointer?, mac: OpaquePointer?, seals: Bool
  ) -> Int32 {
    let length = Int(EVP_MAX_IV_LENGTH)
    let ivLength: Int = 16
    precondition(ivLength <= length, "the vector fits what OpenSSL hands out")
    if seals {
      // The callback's contract: 16 bytes for the name, EVP_MAX_IV_LENGTH for the vector.
      guard let key = current(), unsafe RAND_bytes(iv, Int32(ivLength)) == 1 else {
        return TicketAnswer.failed.rawValue
      }
      for (index, byte) in key.name.enumerated() { unsafe name[index] = byte }
      return unsafe set(key, iv, cipher, mac, seals: true) ? 1 : TicketAnswer.failed.rawValue
    }
    guard let (key, isCurrent) = unsafe find(name: UnsafeBufferPointer(start: name, count: 16))
    else {
      return TicketAnswer.unknownKey.rawValue
    }
    guard unsafe set(key, iv, cipher, mac, seals: false) else {
      return TicketAnswer.failed.rawValue
    }
    return (isCurrent ? TicketAnswer.use : .useAndRenew).rawValue
  }

  private func set(
    _ key: TicketKey, _ iv: UnsafeMutablePointer<UInt8>, _ cipher: OpaquePointer?,
    _ mac: OpaquePointer?, seals: Bool
  ) -> Bool {
    let isSet = unsafe EVP_CipherInit_ex(
      cipher, EVP_aes_256_cbc(), nil, key.cipherKey, iv, seals ? 1 : 0)
    guard isSet == 1 else { return false }
    // The key is copied by the call.
    return unsafe weir_ticket_mac(mac, key.authenticationKey, key.authenticationKey.count) == 1
  }
}
