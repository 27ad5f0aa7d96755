// Cache groups (RFC 9875): an origin names the groups that a response belongs to, and the answer to an
// unsafe request names those that it invalidates.
//
// A group is a string of one origin (scheme, host, port). Here it becomes a tag in a name space of its
// own, which no Surrogate-Key and no URL reaches: 00 67, the origin's length (32 bits, little-endian),
// the origin, the group. A purge of that tag is the invalidation.

package import Bytes
package import HTTPMessage
internal import StructuredFields

/// The groups that a field names.
package enum CacheGroupList: Sendable, Equatable {
  /// None: the field is absent, empty, or no list of strings, and then ignored as a whole.
  case none
  /// These, each once.
  case groups([[UInt8]])
  /// More or longer ones than are kept. Such a response is not to be stored, since no invalidation
  /// could be sure to reach it; such an invalidation is ignored, as RFC 9875 §3 allows.
  case excessive
}

/// Reads cache groups, and writes them as tags. Allocates: for fills and unsafe requests.
package enum CacheGroups {
  /// The most groups of a field; RFC 9875 §2 asks for 32.
  package static var greatestCount: Int { 128 }
  /// The most bytes of a group; RFC 9875 §2 asks for 32.
  package static var greatestLength: Int { 256 }

  /// The groups that a response belongs to (`Cache-Groups`).
  package static func groups(of response: ResponseHead) -> CacheGroupList {
    read("cache-groups", of: response)
  }

  /// The groups that an answer invalidates (`Cache-Group-Invalidation`, RFC 9875 §3): only that to an
  /// unsafe method, and not an error, as for `Invalidation.applies`.
  package static func invalidated(by response: ResponseHead, method: Method) -> CacheGroupList {
    guard Invalidation.applies(method: method, status: response.status) else { return .none }
    return read("cache-group-invalidation", of: response)
  }

  /// Appends the tag of a group. `origin` is `scheme://host[:port]` in lower case, without a default
  /// port.
  package static func appendTag(
    _ group: ByteView, origin: ByteView, to buffer: inout ByteBuffer
  ) {
    buffer.append(0 as UInt8)
    buffer.append(0x67 as UInt8)
    buffer.append(littleEndian: UInt32(truncatingIfNeeded: origin.count))
    buffer.append(origin)
    buffer.append(group)
  }

  private static func read(_ name: StaticString, of response: ResponseHead) -> CacheGroupList {
    var value = ByteBuffer()
    response.fields.forEach(named: ByteView(name), in: response.bytes) { line in
      if !value.isEmpty { value.append(", ") }
      value.append(line)
    }
    guard !value.isEmpty else { return .none }
    let members: [Member]
    do throws(StructuredFieldError) {
      members = try StructuredFieldParser.list(value.view)
    } catch {
      switch error {
      case .syntax: return .none
      case .tooLong: return .excessive
      }
    }
    return list(members)
  }

  private static func list(_ members: [Member]) -> CacheGroupList {
    var groups: [[UInt8]] = []
    for member in members {
      guard case .item(let item) = member, case .string(let group) = item.bare else { return .none }
      if group.count > greatestLength { return .excessive }
      if !groups.contains(group) { groups.append(group) }
      if groups.count > greatestCount { return .excessive }
    }
    return groups.isEmpty ? .none : .groups(groups)
  }
}
