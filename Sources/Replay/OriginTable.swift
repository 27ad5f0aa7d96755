// What an origin has that stands in for the real one: for each key of a recording the size, status and
// lifetime that its answers had there. 24 bytes for a key, whatever its length: paths are kept as hashes.

package import Bytes
internal import CLinux
package import EventLoop
package import TrafficFormats

/// One object of the origin.
package struct OriginObject: Equatable, Sendable {
  /// The length of its content.
  package var size: UInt64
  /// The status code of its answers.
  package var status: UInt16
  /// Its freshness lifetime in seconds; −1: the origin's default.
  package var lifetime: Int32
}

/// All objects that a recording asks for.
package struct OriginTable: Sendable {
  private var objects: [UInt64: OriginObject] = [:]
  private static let hash = SipHash(key: Hash128(low: 0x6f72_6967_696e, high: 2))

  /// An origin that has nothing.
  package init() {}

  /// How many objects there are.
  package var count: Int { objects.count }

  /// The lengths of them all.
  package var bytes: UInt64 { objects.values.reduce(0) { $0 &+ $1.size } }

  /// The object of a path and query. What a replay with shifted keys asks for in later rounds (`~2` behind
  /// the path) is the object of the first.
  package func object(_ target: ByteView) -> OriginObject? {
    if let object = objects[Self.hash.hash(target).low] { return object }
    let end = target.firstIndex(of: ASCII.question) ?? target.count
    var tilde = end
    while tilde > 0, ASCII.isDigit(target[tilde - 1]) { tilde -= 1 }
    guard tilde > 0, tilde < end, target[tilde - 1] == 0x7E else { return nil }
    var plain = ByteBuffer()
    plain.append(target[0..<tilde - 1])
    plain.append(target.dropping(first: end))
    return objects[Self.hash.hash(plain.view).low]
  }

  /// Takes what a record says of its object. Of several answers the most complete one counts: a 206 has a
  /// part of the content, a 304 and a HEAD none of it.
  package mutating func note(_ record: borrowing TrafficRecord) {
    let isPart = record.status == 206 || record.status == 304 || record.status == 0
    let status = isPart ? 200 : record.status
    guard (200...599).contains(status) else { return }
    let hasContent = record.method != ByteView("HEAD") && record.status != 304
    let size = hasContent ? UInt64(min(max(record.responseBytes ?? 0, 0), 1 << 40)) : 0
    let key = Self.hash.hash(record.target).low
    var object =
      objects[key] ?? OriginObject(size: 0, status: status, lifetime: -1)
    if object.status != 200 && status == 200 {
      object.status = 200
      object.size = size
    } else if object.status == status {
      object.size = max(object.size, size)
    }
    if let lifetime = record.lifetime { object.lifetime = Int32(clamping: max(lifetime, 0)) }
    objects[key] = object
  }

  /// Takes all of a recording; says of how many lines it could make nothing.
  package mutating func read(_ path: String, format: TrafficFormat?) throws(Errno) -> Int {
    let number = path == "-" ? dup(0) : unsafe weir_open(path, O_RDONLY, 0)
    guard number >= 0 else { throw .current }
    let file = Descriptor(owning: number)
    let reader = TrafficReader(format: format)
    var buffer = ByteBuffer(capacity: 1 << 16)
    var table = self
    while true {
      buffer.removeAll()
      let result = file.read(onto: &buffer, limit: 1 << 16)
      if let error = result.error { throw error }
      if result.isEnd { break }
      reader.feed(buffer.view) { table.note($0) }
    }
    reader.finish { table.note($0) }
    self = table
    return reader.badCount
  }
}
