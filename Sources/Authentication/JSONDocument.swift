// JSON as tokens and key sets have it (RFC 8259), read once into a flat list of nodes over the text.
//
//   text    the source, and behind it what strings with escapes stand for
//   nodes   in the order of the text, a container before its content:
//             {"a": [1, "b"]}   object(1) name(a) array(2) number(1) string(b)
//           each 16 bytes: kind, where its text is, how many it holds, the number of the node behind it
//
// Nothing is built for a value but its node, so that a remembered token keeps its claims at 16 bytes
// each, and the rules look at them in place. (The reader of the admin's requests is another one: it
// builds a tree of strings, and says line and column to the person who wrote the text. Here the writer
// is a machine, the reader is asked for every new token, and the answer is only ever "malformed".)
//
// Strict, because two readers that differ can be played against each other: UTF-8 only, no member twice
// in an object (RFC 8725 §2.4), no lone surrogate, no number beyond the grammar, nothing behind the value.
// Bounded: depth, nodes and members (names are compared with each other).

package import Bytes

/// What a node is.
package enum JSONKind: UInt8, Sendable {
  /// `null`
  case null
  /// `true`
  case yes
  /// `false`
  case no
  /// A number, as it was written.
  case number
  /// A string, without escapes.
  case string
  /// An array.
  case array
  /// An object; its content is a name, a value, a name, and so on.
  case object
}

/// How large a text may be.
package struct JSONLimits: Sendable {
  /// Bytes.
  package var bytes: Int
  /// How deep values may be nested; the outermost is 1.
  package var depth: Int
  /// Values and names in all.
  package var nodes: Int
  /// Members of one object.
  package var members: Int

  /// Limits; the default is for a token.
  package init(bytes: Int = 16_384, depth: Int = 8, nodes: Int = 2_048, members: Int = 128) {
    self.bytes = min(bytes, 1 << 26)
    self.depth = min(depth, 64)
    self.nodes = nodes
    self.members = members
  }

  /// For a header of a token, which anybody may send.
  package static let header = JSONLimits(bytes: 8_192, depth: 8, nodes: 256, members: 32)
  /// For a set of keys.
  package static let keySet = JSONLimits(bytes: 1 << 20, depth: 8, nodes: 16_384, members: 256)
}

/// Why a text was not read. There is one case for each thing that a log may want to know.
package enum JSONDefect: Error, Equatable, Sendable, CaseIterable {
  /// Not the grammar of RFC 8259.
  case malformed
  /// Not UTF-8, or half of a surrogate pair.
  case notUTF8
  /// A member is there twice.
  case repeatedMember
  /// Beyond a limit.
  case tooLarge
}

/// One value; see the top of the file.
struct JSONNode: Sendable {
  var kind: JSONKind
  /// Where the text of a string or number begins.
  var start: UInt32 = 0
  /// Bytes of the text; elements of an array; members of an object.
  var count: UInt32 = 0
  /// The number of the node behind the value and all its content.
  var end: UInt32 = 0
}

/// A text that was read. Node 0 is its value.
package struct JSONDocument: ~Copyable {
  private(set) var text: ByteBuffer
  private(set) var nodes: [JSONNode]

  /// An empty document, to be filled by `read(_:limits:)`. It has no value: `kind(of: 0)` is `null`.
  package init() {
    text = ByteBuffer()
    nodes = []
  }

  /// A document read from a text, which is copied.
  package static func reading(
    _ source: ByteView, limits: JSONLimits
  ) throws(JSONDefect) -> JSONDocument {
    var document = JSONDocument()
    try document.read(source, limits: limits)
    return document
  }

  /// Reads a text in place of what the document held, and keeps the memory. On an error the document
  /// is empty.
  package mutating func read(_ source: ByteView, limits: JSONLimits) throws(JSONDefect) {
    text.removeAll()
    nodes.removeAll(keepingCapacity: true)
    guard source.count <= limits.bytes else { throw .tooLarge }
    guard source.isUTF8 else { throw .notUTF8 }
    text.append(source)
    var reader = JSONReader(source: source, limits: limits)
    do throws(JSONDefect) {
      try reader.whole(&text, &nodes)
    } catch {
      text.removeAll()
      nodes.removeAll(keepingCapacity: true)
      throw error
    }
  }

  /// Bytes of memory.
  var memory: Int { text.capacity + nodes.capacity * MemoryLayout<JSONNode>.stride }

  /// What a node is; `null` for a number that no node has.
  package func kind(of node: Int) -> JSONKind {
    node >= 0 && node < nodes.count ? nodes[node].kind : .null
  }

  /// The text of a string (without escapes) or number; empty for anything else. Good as long as the
  /// document is not changed.
  package func text(of node: Int) -> ByteView {
    guard node >= 0, node < nodes.count else { return ByteView() }
    let node = nodes[node]
    guard node.kind == .string || node.kind == .number else { return ByteView() }
    return text.view.dropping(first: Int(node.start)).prefix(Int(node.count))
  }

  /// How many elements an array has, or members an object; 0 for anything else.
  package func count(of node: Int) -> Int {
    switch kind(of: node) {
    case .array, .object: Int(nodes[node].count)
    default: 0
    }
  }

  /// The node behind a value and its content.
  package func end(of node: Int) -> Int {
    node >= 0 && node < nodes.count ? Int(nodes[node].end) : nodes.count
  }

  /// The node of a member's value; nil if the object has none of that name, or is none.
  package func member(of object: Int, named name: ByteView) -> Int? {
    guard kind(of: object) == .object else { return nil }
    var at = object + 1
    let end = end(of: object)
    while at < end {
      if text(of: at) == name { return at + 1 }
      at = self.end(of: at + 1)
    }
    return nil
  }

  /// The text of a member that is a string; nil if it is something else or missing.
  package func string(of object: Int, named name: ByteView) -> ByteView? {
    guard let node = member(of: object, named: name), kind(of: node) == .string else { return nil }
    return text(of: node)
  }
}
