// What a worker needs to run rules, made once, so that a run allocates nothing: the evaluator's scratch,
// the head that edits make of a request's, and the lines that they make of a response's.

internal import Bytes
internal import HTTP1
internal import HTTPMessage
internal import Rules

final class RuleRoom {
  let scratch = RuleScratch()
  /// The request as rules have changed it, good for the turn.
  var head = RequestHead()
  private var headBytes = ByteBuffer()
  /// What is composed; the two change places, because one change may follow another.
  private var spareBytes = ByteBuffer()
  private var spareHead = RequestHead()
  /// What the key of a request begins with, beyond its recipe.
  var keyPrefix = ByteBuffer()
  var key = ByteBuffer()
  /// The host and the path as rules see them.
  var host = ByteBuffer()
  var path = ByteBuffer()
  /// Claims of credentials that are not tokens.
  var claims = ByteBuffer()
  /// A response's lines before and after rules.
  var lines = ByteBuffer()
  var editedLines = ByteBuffer()
  /// Members of the access log's line.
  var log = ByteBuffer()
  /// What rules carry from a request to its response.
  var carried = ByteBuffer()

  /// Larger than any head that was let in, with what 64 KiB of texts can add.
  private static let limits = HeadLimits(
    maxRequestLine: 4 << 20, maxHead: 8 << 20, maxFields: 16_000)

  /// Makes `head` of another by a change; false if the result is no request any more.
  func change(_ source: RequestHead, _ change: HeadChange) -> Bool {
    spareBytes.removeAll()
    change.append(source, scratch, to: &spareBytes)
    guard
      case .complete = RequestParser.parse(spareBytes.view, limits: Self.limits, into: spareHead)
    else { return false }
    // By the protocol that it came with, whatever that says of them.
    spareHead.method = source.method
    spareHead.framing = source.framing
    spareHead.keepAlive = source.keepAlive
    spareHead.expectsContinue = source.expectsContinue
    swap(&headBytes, &spareBytes)
    swap(&head, &spareHead)
    return true
  }

  /// Hands the changed head over to a request that must wait.
  func takeHead() -> RequestHead {
    let taken = head
    taken.own()
    head = RequestHead()
    return taken
  }
}

/// What becomes of a request's head.
struct HeadChange {
  /// The path and query, together, instead of the request's.
  var target: ByteView?
  /// A field that is left out, by its name in lower case; empty: none.
  var omitted = ByteView()
  /// Fields that are left out, by their names in lower case: an origin may take `_` for `-`.
  var replaced: [[UInt8]] = []
  /// Lines that are added.
  var lines = ByteView()
  /// Whether what rules have set applies: path, query, fields.
  var isByRules = false

  func append(_ head: RequestHead, _ scratch: RuleScratch, to buffer: inout ByteBuffer) {
    let bytes = head.bytes
    buffer.append(bytes[head.methodRange])
    buffer.append(ASCII.space)
    appendTarget(head, scratch, to: &buffer)
    buffer.append(head.minorVersion == 0 ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n")
    let authority = bytes[head.authority]
    if !authority.isEmpty || head.minorVersion > 0 {
      buffer.append("host: ")
      buffer.append(authority)
      buffer.append("\r\n")
    }
    for index in 0..<head.fields.count {
      let line = head.fields[index]
      if line.known == .host { continue }
      let name = line.name(in: bytes)
      if !omitted.isEmpty && name.equalsIgnoringCase(omitted) { continue }
      if !replaced.isEmpty && isReplaced(name) { continue }
      if isByRules && FieldEdits.replaces(line.known, name, scratch.requestFields) { continue }
      FieldEdits.append(name, line.value(in: bytes), to: &buffer)
    }
    if isByRules { FieldEdits.appendLines(scratch.requestFields, to: &buffer) }
    buffer.append(lines)
    buffer.append("\r\n")
  }

  private func isReplaced(_ name: ByteView) -> Bool {
    replaced.contains { listed in
      guard listed.count == name.count else { return false }
      for index in 0..<name.count {
        let byte = name[index]
        let folded: UInt8 = byte &- 0x41 < 26 ? byte | 0x20 : byte
        if folded != listed[index] && !(folded == 0x5F && listed[index] == 0x2D) { return false }
      }
      return true
    }
  }

  private func appendTarget(
    _ head: RequestHead, _ scratch: RuleScratch, to buffer: inout ByteBuffer
  ) {
    if let target { return RequestTarget.appendTarget(target, to: &buffer) }
    guard isByRules && scratch.isRewritten else {
      return RequestTarget.appendTarget(head.bytes[head.target], to: &buffer)
    }
    // Of a path that was not rewritten the client's own form goes on.
    let path = scratch.hasNewPath ? scratch.path : head.bytes[head.path]
    if path.isEmpty { buffer.append(ASCII.slash) } else { buffer.append(path) }
    guard let query = scratch.query else { return }
    buffer.append(ASCII.question)
    buffer.append(query)
  }
}

/// Applies rules' changes of fields, in their order.
enum FieldEdits {
  /// Whether lines of a name that were there are gone.
  static func replaces(
    _ known: KnownField, _ name: ByteView, _ edits: borrowing RuleList<RuleEdit>
  ) -> Bool {
    for index in 0..<edits.count {
      let edit = edits[index]
      if case .add = edit.kind { continue }
      if matches(edit, known, name) { return true }
    }
    return false
  }

  /// Appends the lines that are added: those that no later change of the same name takes away.
  static func appendLines(_ edits: borrowing RuleList<RuleEdit>, to buffer: inout ByteBuffer) {
    for index in 0..<edits.count {
      let edit = edits[index]
      if case .unset = edit.kind { continue }
      if isReplaced(edit, after: index, edits) { continue }
      append(edit.name, edit.value, to: &buffer)
    }
  }

  private static func isReplaced(
    _ edit: RuleEdit, after index: Int, _ edits: borrowing RuleList<RuleEdit>
  ) -> Bool {
    var later = index + 1
    while later < edits.count {
      let other = edits[later]
      later += 1
      if case .add = other.kind { continue }
      if matches(other, edit.known, edit.name) { return true }
    }
    return false
  }

  @inline(__always)
  private static func matches(_ edit: RuleEdit, _ known: KnownField, _ name: ByteView) -> Bool {
    if edit.known.rawValue != known.rawValue { return false }
    return known.rawValue != KnownField.other.rawValue || edit.name.equalsIgnoringCase(name)
  }

  /// Appends a line.
  static func append(_ name: ByteView, _ value: ByteView, to buffer: inout ByteBuffer) {
    buffer.append(name)
    buffer.append(": ")
    buffer.append(value)
    buffer.append("\r\n")
  }

  /// Appends a response's lines, as the node has written them, with the changes.
  static func appendChanged(
    _ lines: ByteView, _ edits: borrowing RuleList<RuleEdit>, to buffer: inout ByteBuffer
  ) {
    var start = 0
    while start < lines.count, let end = lines.firstIndex(of: ASCII.lf, from: start) {
      let whole = lines[start..<end + 1]
      start = end + 1
      let name = whole.prefix(whole.firstIndex(of: ASCII.colon) ?? 0)
      if replaces(KnownField.identify(name), name, edits) { continue }
      buffer.append(whole)
    }
    for index in 0..<edits.count {
      let edit = edits[index]
      if case .unset = edit.kind { continue }
      if isReplaced(edit, after: index, edits) { continue }
      // What the response varies by need not be said twice.
      if edit.known.rawValue == KnownField.vary.rawValue, hasVary(edit.value, in: lines, edits) {
        continue
      }
      append(edit.name, edit.value, to: &buffer)
    }
  }

  private static func hasVary(
    _ value: ByteView, in lines: ByteView, _ edits: borrowing RuleList<RuleEdit>
  ) -> Bool {
    let name = ByteView("vary")
    if replaces(.vary, name, edits) { return false }
    var isThere = false
    FieldLines.forEach(lines) { line in
      if line.name == name && line.value.equalsIgnoringCase(value) { isThere = true }
    }
    return isThere
  }
}
