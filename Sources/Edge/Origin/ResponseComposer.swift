internal import Bytes
internal import HTTPCaching
internal import HTTPMessage
internal import ObjectStore

/// An origin's heads in the form that they are sent on.
enum ResponseComposer {
  /// Appends the field lines of a final response: as stored and sent, `via` included.
  static func append(
    _ response: ResponseHead, directives: ResponseDirectives, options: ResponseFieldOptions,
    responseTime: Int64, nodeName: ByteView, to lines: inout ByteBuffer
  ) {
    HeadComposer.appendResponseFields(
      response, directives: directives, options: options, responseTime: responseTime, to: &lines)
    lines.append("via: ")
    lines.append(response.minorVersion == 0 ? "1.0 " : "1.1 ")
    lines.append(nodeName)
    lines.append("\r\n")
  }

  /// Appends the field lines of an interim response.
  static func appendInterim(_ response: ResponseHead, to lines: inout ByteBuffer) {
    let connection = ConnectionOptions(response)
    for index in 0..<response.fields.count {
      let line = response.fields[index]
      let name = line.name(in: response.bytes)
      if FieldRules.isHopByHop(line.known, name: name, connectionOptions: connection) { continue }
      append(name, line.value(in: response.bytes), to: &lines)
    }
  }

  /// Appends the field lines of a 101: here `Connection` and `Upgrade` do pass.
  static func appendUpgrade(_ response: ResponseHead, to lines: inout ByteBuffer) {
    lines.append("connection: upgrade\r\n")
    for index in 0..<response.fields.count {
      let line = response.fields[index]
      if line.known == .connection { continue }
      append(line.name(in: response.bytes), line.value(in: response.bytes), to: &lines)
    }
  }

  private static func append(_ name: ByteView, _ value: ByteView, to lines: inout ByteBuffer) {
    lines.appendLowercased(name)
    lines.append(": ")
    lines.append(value)
    lines.append("\r\n")
  }
}

/// A stored response that is being validated: what must outlive the turn that found it.
struct StoredReference {
  let id: UInt64
  let hash: Hash128
  let entityTag: [UInt8]
  let lastModified: [UInt8]
  /// When it was received or validated last, ms since the epoch.
  let responseTime: Int64
  let isSoftlyPurged: Bool

  init(_ response: StoredResponse) {
    responseTime = response.responseTime
    isSoftlyPurged = response.isSoftlyPurged
    id = response.id
    hash = response.keyHash
    entityTag = response.etag.array
    let head = response.head
    lastModified = Validators.lastModified(of: head).map { head[$0].array } ?? []
  }
}

extension Freshness {
  /// As kept with a stored response. One that was purged softly is stale since then.
  @inline(__always)
  init(_ response: StoredResponse) {
    self.init(kept: response)
    if response.isSoftlyPurged {
      lifetime = min(lifetime, currentAge(now: response.softlyPurgedAt))
    }
  }

  @inline(__always)
  private init(kept response: StoredResponse) {
    self.init(
      responseTime: response.responseTime, correctedInitialAge: response.correctedInitialAge,
      lifetime: response.lifetime, staleWhileRevalidate: response.staleWhileRevalidate,
      staleIfError: response.staleIfError, flags: Flags(rawValue: response.flags))
  }

  init(_ metadata: Metadata) {
    self.init(
      responseTime: metadata.responseTime, correctedInitialAge: metadata.correctedInitialAge,
      lifetime: metadata.lifetime, staleWhileRevalidate: metadata.staleWhileRevalidate,
      staleIfError: metadata.staleIfError, flags: Flags(rawValue: metadata.flags))
  }

  /// As kept by the store. `lines` are the stored lines.
  func metadata(status: UInt16, lines: ByteView) -> Metadata {
    let tag = Validators.etag(of: lines)
    let modified = Validators.lastModified(of: lines)
      .flatMap { Validators.seconds(lines[$0], now: responseTime / 1000) }
    return Metadata(
      status: status, flags: flags.rawValue, responseTime: responseTime,
      correctedInitialAge: correctedInitialAge, lifetime: lifetime,
      staleWhileRevalidate: staleWhileRevalidate, staleIfError: staleIfError,
      lastModified: modified ?? .min,
      etagOffset: UInt32(truncatingIfNeeded: tag?.lowerBound ?? 0),
      etagLength: UInt32(truncatingIfNeeded: tag?.count ?? 0))
  }
}
