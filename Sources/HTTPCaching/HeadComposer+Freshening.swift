// Updating a stored head (RFC 9111 §3.2). A field of the 304 replaces all stored lines of its name;
// stored fields that the 304 does not have stay. Not taken from a 304:
//
//     for one hop, Age                 never stored (§3.1)
//     Content-Length                   §3.2
//     Content-Encoding, Content-Range  say how the stored bytes are to be read, and these did not change
//     Set-Cookie, listed fields, tags  as when storing, by the directives of the result
//
// Date is the 304's, or when it was received: the age counts from there.

package import Bytes
package import HTTPMessage

extension HeadComposer {
  /// Appends a stored head as a 304 updates it (RFC 9111 §4.3.4, §3.2). `Validators.selects` says
  /// whether the 304 is about it. Freshness is then computed anew from the result, read with
  /// `StoredLines.read`, with the 304 as `ageSource`. Allocates: for validations only.
  ///
  /// - Parameters:
  ///   - stored: the stored lines; must not be of `buffer`.
  ///   - options: as when it was stored; `storing` is implied.
  ///   - responseTime: when the 304 was received, milliseconds.
  ///   - policy: the operator's, by which the result's directives are read.
  package static func appendFreshened(
    stored: ByteView, by notModified: ResponseHead, options: ResponseFieldOptions = [],
    responseTime: Int64, policy: CachePolicy = CachePolicy(), to buffer: inout ByteBuffer
  ) {
    var merged = ByteBuffer(capacity: stored.count + notModified.length)
    appendMerged(stored: stored, by: notModified, to: &merged)
    let head = ResponseHead()
    StoredLines.read(merged.view, status: 200, into: head)
    appendResponseFields(
      head, directives: ResponseDirectives(head, policy: policy),
      options: options.union(policy.fieldOptions).union(.storing), responseTime: responseTime,
      to: &buffer)
  }

  private static func appendMerged(
    stored: ByteView, by notModified: ResponseHead, to buffer: inout ByteBuffer
  ) {
    let connection = ConnectionOptions(notModified)
    var lines = StoredLines(stored)
    while let line = lines.next() {
      let name = stored[line.name]
      let known = KnownField.identify(name)
      if known == .date || replaces(known, name: name, in: notModified, connection) { continue }
      append(name: name, value: stored[line.value], to: &buffer)
    }
    for index in 0..<notModified.fields.count {
      let line = notModified.fields[index]
      if updates(line.known, name: line.name(in: notModified.bytes), connection) {
        append(line, of: notModified.bytes, to: &buffer)
      }
    }
  }

  /// Whether a 304 has a field of that name which replaces the stored one.
  private static func replaces(
    _ known: KnownField, name: ByteView, in notModified: ResponseHead,
    _ connection: ConnectionOptions
  ) -> Bool {
    guard updates(known, name: name, connection) else { return false }
    if known != .other { return notModified.fields.count(of: known) > 0 }
    for index in 0..<notModified.fields.count {
      let line = notModified.fields[index]
      if line.known == .other, line.name(in: notModified.bytes).equalsIgnoringCase(name) {
        return true
      }
    }
    return false
  }

  private static func updates(
    _ known: KnownField, name: ByteView, _ connection: ConnectionOptions
  ) -> Bool {
    switch known {
    case .age, .contentLength, .contentEncoding, .contentRange: false
    default: !FieldRules.isHopByHop(known, name: name, connectionOptions: connection)
    }
  }
}
