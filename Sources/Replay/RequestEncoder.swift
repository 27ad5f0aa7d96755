// From a record of the recording to a request that is ready to be sent: what is left out, what is changed,
// and the head's bytes. Whatever a recording holds, what leaves here is one well-formed request: control
// bytes never get into a line, and no recorded field says anything about the connection or the framing.

internal import Bytes
internal import HTTPMessage
internal import RegularExpressions
internal import TrafficFormats

final class RequestEncoder {
  private let plan: Faithfulness
  private let defaultHost: [UInt8]
  private let matcher = RegularExpressionMatcher()
  private let hash = SipHash(key: Hash128(low: 0x7265_706c_6179, high: 1))
  private var rewritten = ByteBuffer()
  private var other = ByteBuffer()
  private let added: [UInt8]
  private let freshShare: Double
  /// How often the recording was played before.
  var loop = 0
  /// The wall clock, seconds since 1970, for tokens.
  let now: Int64
  /// Records left out because of their method, their client or their target.
  private(set) var skipped = 0

  init(_ plan: ReplayPlan, now: Int64) {
    self.plan = plan.faithfulness
    self.now = now
    defaultHost = Array(plan.host.utf8)
    added = plan.faithfulness.addedFields.flatMap { Array("\($0.name): \($0.value)\r\n".utf8) }
    if case .fresh(let share) = plan.connections { freshShare = share } else { freshShare = 0 }
  }

  /// The client that a record is of; requests without one are of different clients each.
  func client(of record: borrowing TrafficRecord, number: Int) -> UInt64 {
    if record.client.isEmpty { return hash.hash(UInt64(number), 7).low }
    return hash.hash(record.client).low
  }

  /// Appends a record's request to an arena's bytes; nil if it is left out. `number` is its place.
  func encode(
    _ record: borrowing TrafficRecord, number: Int, client: UInt64, onto arena: inout ByteBuffer
  ) -> Entry? {
    guard isWanted(record, client) else {
      skipped += 1
      return nil
    }
    let method = Method.allCases.first { ByteView($0.name) == record.method } ?? .other
    var entry = Entry(
      due: -1, time: 0, client: client, content: content(of: record, method), head: 0,
      headLength: 0, address: 0, addressLength: 0, method: method,
      closes: isFresh(number: number))
    if plan.addressing == .proxy {
      entry.address = UInt32(truncatingIfNeeded: arena.count)
      let address = record.client.prefix(45)
      arena.append(address)
      entry.addressLength = UInt16(truncatingIfNeeded: address.count)
    }
    entry.head = UInt32(truncatingIfNeeded: arena.count)
    arena.append(record.method)
    arena.append(ASCII.space)
    appendTarget(record.target, to: &arena)
    arena.append(" HTTP/1.1\r\nHost: ")
    appendHost(record.host, to: &arena)
    arena.append("\r\n")
    appendFields(record, entry, to: &arena)
    arena.append("\r\n")
    entry.headLength = UInt32(truncatingIfNeeded: arena.count) - entry.head
    return entry
  }

  // MARK: What is left out

  private func isWanted(_ record: borrowing TrafficRecord, _ client: UInt64) -> Bool {
    if plan.sample < 1, Double(client >> 11) >= plan.sample * Double(1 << 53 as UInt64) {
      return false
    }
    // A tunnel is no request that could be answered.
    if record.method == ByteView("CONNECT") { return false }
    return plan.methods.isEmpty || plan.methods.contains(record.method.string)
  }

  private func isFresh(number: Int) -> Bool {
    // The n-th request opens a connection where n·share passes a whole number: evenly spread.
    guard freshShare > 0 else { return false }
    let number = Double(number)
    return ((number + 1) * freshShare).rounded(.down) > (number * freshShare).rounded(.down)
  }

  private func content(of record: borrowing TrafficRecord, _ method: Method) -> UInt64 {
    guard plan.sendsBodies, method != .get, method != .head, method != .options, method != .trace
    else { return 0 }
    return UInt64(min(max(record.requestBytes ?? 0, 0), 1 << 40))
  }

  // MARK: Lines

  private func appendTarget(_ target: ByteView, to arena: inout ByteBuffer) {
    rewritten.removeAll()
    rewritten.append(target)
    for rewrite in plan.rewrites {
      other.removeAll()
      if rewrite.apply(rewritten.view, matcher, onto: &other) { swap(&rewritten, &other) }
    }
    let target = rewritten.view
    if target.isEmpty || target[0] != ASCII.slash && target != ByteView("*") {
      arena.append(ASCII.slash)
    }
    let end =
      plan.shiftsKeys && loop > 0
      ? target.firstIndex(of: ASCII.question) ?? target.count : target.count
    Self.appendEncoded(target[0..<end], to: &arena)
    if plan.shiftsKeys && loop > 0 {
      arena.append(0x7E as UInt8)
      arena.append(decimal: UInt64(loop))
      Self.appendEncoded(target.dropping(first: end), to: &arena)
    }
  }

  /// What must not stand in a request line is percent-encoded.
  private static func appendEncoded(_ text: ByteView, to arena: inout ByteBuffer) {
    var plain = 0
    for index in 0..<text.count where text[index] <= 0x20 || text[index] >= 0x7F {
      arena.append(text[plain..<index])
      arena.append(0x25 as UInt8)
      for digit in [text[index] >> 4, text[index] & 15] {
        arena.append(digit < 10 ? 0x30 + digit : 0x37 + digit)
      }
      plain = index + 1
    }
    arena.append(text.dropping(first: plain))
  }

  private func appendHost(_ host: ByteView, to arena: inout ByteBuffer) {
    if let host = plan.host {
      arena.append(text: host)
    } else if host.isEmpty || !Self.isHost(host) {
      defaultHost.withView { arena.append($0) }
    } else {
      arena.append(host)
    }
  }

  private static func isHost(_ host: ByteView) -> Bool {
    for index in 0..<host.count {
      let byte = host[index]
      let isPart =
        ASCII.isDigit(byte) || 0x61...0x7A ~= (byte | 0x20)
        || [0x2D, 0x2E, 0x5F, 0x3A, 0x5B, 0x5D, 0x7E].contains(byte)
      if !isPart { return false }
    }
    return true
  }

  private func appendFields(
    _ record: borrowing TrafficRecord, _ entry: Entry, to arena: inout ByteBuffer
  ) {
    for field in record.fields where isSent(field.name) {
      arena.append(field.name)
      arena.append(": ")
      Self.appendValue(field.value, to: &arena)
      arena.append("\r\n")
    }
    if plan.addressing == .forwarded, !record.client.isEmpty {
      arena.append("X-Forwarded-For: ")
      Self.appendValue(record.client, to: &arena)
      arena.append("\r\n")
    }
    appendToken(record, entry, to: &arena)
    added.withView { arena.append($0) }
    if hasContentLength(entry) {
      arena.append("Content-Length: ")
      arena.append(decimal: entry.content)
      arena.append("\r\n")
    }
    if entry.closes { arena.append("Connection: close\r\n") }
  }

  private func appendToken(
    _ record: borrowing TrafficRecord, _ entry: Entry, to arena: inout ByteBuffer
  ) {
    guard let tokens = plan.tokens else { return }
    let user = record.user.isEmpty ? record.client : record.user
    let key = record.user.isEmpty ? entry.client : hash.hash(user).low
    guard let token = tokens.token(for: user, hash: key, now: now) else { return }
    arena.append("Authorization: Bearer ")
    arena.append(text: token)
    arena.append("\r\n")
  }

  /// RFC 9110 §8.6: methods that have a meaning for content say so even if there is none.
  private func hasContentLength(_ entry: Entry) -> Bool {
    switch entry.method {
    case .post, .put, .patch: true
    default: entry.content > 0
    }
  }

  private static func appendValue(_ value: ByteView, to arena: inout ByteBuffer) {
    for index in 0..<value.count {
      let byte = value[index]
      arena.append(byte < 0x20 && byte != ASCII.tab || byte == 0x7F ? ASCII.space : byte)
    }
  }

  /// Whether a recorded field is sent; those about the connection, the framing and who speaks never are.
  private func isSent(_ name: ByteView) -> Bool {
    guard !name.isEmpty, name.count < 128 else { return false }
    for index in 0..<name.count where !ASCII.isTokenByte(name[index]) { return false }
    switch KnownField.identify(name) {
    case .host, .connection, .contentLength, .transferEncoding, .expect, .upgrade, .te, .trailer,
      .keepAlive, .proxyConnection, .forwarded, .xForwardedFor, .xForwardedHost, .xForwardedProto,
      .maxForwards, .http2Settings:
      return false
    case .authorization: if plan.tokens != nil { return false }
    default: break
    }
    guard let wanted = plan.fields else { return true }
    return wanted.contains(name.string.lowercased())
  }
}
