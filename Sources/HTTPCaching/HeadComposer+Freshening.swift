// Updating a stored head (RFC 9111 §3.2). A field of the 304 replaces all stored lines of its name;
// stored fields that the 304 does not have stay. Not taken from a 304:
//
//     for one hop, Age                 never stored (§3.1)
//     Content-Length                   §3.2
//     Content-Encoding, Content-Range  say how the stored bytes are to be read, and these did not change
//     Set-Cookie, listed fields, tags  as when storing, by the directives of the result
//
// Date is the 304's, or when it was received: the age counts from there. Of a 304 that is for one user
// only (§3.5) nothing is taken but what says how long the stored response is fresh.

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
  ///   - isPersonal: whether the 304 is for who asked, and its fields are not for others.
  ///   - responseTime: when the 304 was received, milliseconds.
  ///   - policy: the operator's, by which the result's directives are read.
  package static func appendFreshened(
    stored: ByteView, by notModified: ResponseHead, options: ResponseFieldOptions = [],
    isPersonal: Bool = false, responseTime: Int64, policy: CachePolicy = CachePolicy(),
    to buffer: inout ByteBuffer
  ) {
    var merged = ByteBuffer(capacity: stored.count + notModified.length)
    appendMerged(stored: stored, by: notModified, isPersonal: isPersonal, to: &merged)
    let head = ResponseHead()
    StoredLines.read(merged.view, status: 200, into: head)
    appendResponseFields(
      head, directives: ResponseDirectives(head, policy: policy),
      options: options.union(policy.fieldOptions).union(.storing), responseTime: responseTime,
      to: &buffer)
  }

  private static func appendMerged(
    stored: ByteView, by notModified: ResponseHead, isPersonal: Bool, to buffer: inout ByteBuffer
  ) {
    let connection = ConnectionOptions(notModified)
    var lines = StoredLines(stored)
    while let line = lines.next() {
      let name = stored[line.name]
      let known = KnownField.identify(name)
      let isReplaced =
        mayUpdate(known, isPersonal: isPersonal)
        && replaces(known, name: name, in: notModified, connection)
      if known == .date || isReplaced { continue }
      append(name: name, value: stored[line.value], to: &buffer)
    }
    for index in 0..<notModified.fields.count {
      let line = notModified.fields[index]
      if mayUpdate(line.known, isPersonal: isPersonal),
        updates(line.known, name: line.name(in: notModified.bytes), connection)
      {
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

  /// Whether a field may be taken of a 304 for one user.
  private static func mayUpdate(_ known: KnownField, isPersonal: Bool) -> Bool {
    guard isPersonal else { return true }
    switch known {
    case .date, .cacheControl, .expires, .surrogateControl, .cdnCacheControl: return true
    default: return false
    }
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
