// API keys: secrets that programs send, each with a name and attributes. A file has a line for each:
//
//     name:sha256:attributes        shop-backend:9f86d0…0a08:plan=gold,role=writer
//
// `sha256` is the SHA-256 of the key in hexadecimal, 64 digits; attributes are optional. That is enough
// for keys that were made at random (256 bits here): nobody can go through them. It is not for passwords.
//
// In memory the set is one run of bytes with the lines' names and attributes, an entry for each key, and
// an open-addressing table of entries' numbers, at most half full. A key is hashed, found by a keyed hash
// of its digest, and compared by its whole digest in constant time. 100,000 keys take about 8 MB, once for
// all workers: nothing in the set ever changes, a new file is a new set.

package import Bytes
package import Cryptography

/// A set of keys; any thread may look into it.
package final class APIKeySet: Sendable {
  private struct Entry: Sendable {
    let digest: Digest256
    let name: Range<Int>
    let attributes: Range<Int>
  }

  private let text: ByteBuffer
  private let entries: [Entry]
  /// Numbers of entries plus one; 0 is free. Its length is a power of two.
  private let table: [UInt32]
  private let hash: SipHash

  /// How many keys there are.
  package var count: Int { entries.count }

  /// A set without keys.
  package convenience init() {
    self.init(text: ByteBuffer(), entries: [], table: [0], hash: SipHash(key: Random.hash128()))
  }

  private init(text: consuming ByteBuffer, entries: [Entry], table: [UInt32], hash: SipHash) {
    self.text = text
    self.entries = entries
    self.table = table
    self.hash = hash
  }

  /// The keys of a file.
  package static func load(_ path: String) throws(CredentialDefect) -> APIKeySet {
    let content = try CredentialFile.read(path)
    return try read(content.view, file: path)
  }

  /// The keys of a file's content; `file` is what a defect calls it.
  package static func read(
    _ content: ByteView, file: String
  ) throws(CredentialDefect) -> APIKeySet {
    var text = ByteBuffer()
    var entries: [Entry] = []
    var digests: Set<Digest256> = []
    try CredentialFile.forEachLine(of: content, file: file) { line throws(LineDefect) in
      guard entries.count < 1 << 24 else { throw LineDefect("more than 16777216 keys") }
      let entry = try entry(line, &text)
      guard digests.insert(entry.digest).inserted else {
        throw LineDefect("the key is there twice")
      }
      entries.append(entry)
    }
    let hash = SipHash(key: Random.hash128())
    var table = [UInt32](repeating: 0, count: tableSize(entries.count))
    for (number, entry) in entries.enumerated() {
      var place = place(entry.digest, hash, table.count)
      while table[place] != 0 { place = (place + 1) & (table.count - 1) }
      table[place] = UInt32(number + 1)
    }
    return APIKeySet(text: text, entries: entries, table: table, hash: hash)
  }

  private static func tableSize(_ count: Int) -> Int {
    var size = 4
    while size < count * 2 { size *= 2 }
    return size
  }

  private static func place(_ digest: Digest256, _ hash: SipHash, _ size: Int) -> Int {
    let spread = digest.withView { hash.hash($0) }
    return Int(truncatingIfNeeded: spread.low & UInt64(size - 1))
  }

  private static func entry(
    _ line: ByteView, _ text: inout ByteBuffer
  ) throws(LineDefect) -> Entry {
    guard let colon = line.firstIndex(of: ASCII.colon) else {
      throw LineDefect("expected name:sha256 or name:sha256:attributes")
    }
    let rest = line.dropping(first: colon + 1)
    let end = rest.firstIndex(of: ASCII.colon) ?? rest.count
    guard let digest = digest(rest.prefix(end)) else {
      throw LineDefect("expected the key's SHA-256 in 64 hexadecimal digits")
    }
    let attributes = rest.dropping(first: end + 1)
    guard APIKeyLine.isName(line.prefix(colon)) else {
      throw LineDefect("the name must have letters, digits, \".\", \"-\", \"_\" and \"@\" only")
    }
    guard APIKeyLine.areAttributes(attributes) else {
      throw LineDefect("attributes must be name=value, separated by \",\"")
    }
    let start = text.count
    text.append(line.prefix(colon))
    let middle = text.count
    text.append(attributes)
    return Entry(digest: digest, name: start..<middle, attributes: middle..<text.count)
  }

  private static func digest(_ text: ByteView) -> Digest256? {
    guard text.count == 64 else { return nil }
    var bytes: [UInt8] = []
    for index in stride(from: 0, to: 64, by: 2) {
      guard let high = ASCII.hexValue(text[index]), let low = ASCII.hexValue(text[index + 1])
      else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes.withView { Digest256($0) }
  }

  /// The number of the entry with a digest.
  package func find(_ digest: Digest256) -> Int? {
    var place = Self.place(digest, hash, table.count)
    // At least half of the table is free.
    while table[place] != 0 {
      let number = Int(table[place]) - 1
      if entries[number].digest == digest { return number }
      place = (place + 1) & (table.count - 1)
    }
    return nil
  }

  /// The name of an entry. Good as long as the set.
  package func name(of entry: Int) -> ByteView {
    guard entry >= 0, entry < entries.count else { return ByteView() }
    return text.view[entries[entry].name]
  }

  /// An attribute of an entry; nil if it has none of that name. Good as long as the set.
  package func attribute(_ name: ByteView, of entry: Int) -> ByteView? {
    guard entry >= 0, entry < entries.count else { return nil }
    var rest = text.view[entries[entry].attributes]
    while !rest.isEmpty {
      let end = rest.firstIndex(of: ASCII.comma) ?? rest.count
      let part = rest.prefix(end)
      rest = rest.dropping(first: end + 1)
      if part.count > name.count, part.starts(with: name), part[name.count] == ASCII.equals {
        return part.dropping(first: name.count + 1)
      }
    }
    return nil
  }
}

/// A key that is in the set.
package struct APIKeyMatch {
  /// The set that has it; keep it as long as the views from it.
  package let set: APIKeySet
  /// Its entry there.
  package let entry: Int

  /// The key's name.
  package var name: ByteView { self.set.name(of: entry) }
  /// An attribute of the key.
  package func attribute(_ name: ByteView) -> ByteView? { self.set.attribute(name, of: entry) }
}

/// Looks keys up for one worker.
package final class APIKeyCheck {
  private let source: Published<APIKeySet>
  private let digest: DigestContext
  private var set: APIKeySet
  private var generation: UInt64

  /// A check against the newest set that is published.
  package init(_ source: Published<APIKeySet>) throws(OpenSSLError) {
    self.source = source
    digest = try DigestContext.make(.sha256)
    (set, generation) = source.current
  }

  /// The entry of a key; nil for one that is not in the set. About 0.4 µs.
  package func find(_ key: ByteView) -> APIKeyMatch? {
    if source.generation != generation { (set, generation) = source.current }
    guard !key.isEmpty, key.count <= 1_024, let digest = try? digest.digest256(key),
      let entry = set.find(digest)
    else { return nil }
    return APIKeyMatch(set: set, entry: entry)
  }
}

/// Lines of a file of keys, as a command makes them.
package enum APIKeyLine {
  /// A fresh key, and the line for it. Nil if the name or the attributes cannot stand in a line.
  package static func make(
    name: String, attributes: String = ""
  ) throws(OpenSSLError) -> (key: String, line: String)? {
    let key = Base64URL.encode(try SecureRandom.bytes(32))
    guard let line = try line(name: name, key: key, attributes: attributes) else { return nil }
    return (key, line)
  }

  /// The line for a key that exists.
  package static func line(
    name: String, key: String, attributes: String = ""
  ) throws(OpenSSLError) -> String? {
    guard name.withView(isName), attributes.withView(areAttributes) else { return nil }
    var buffer = ByteBuffer()
    buffer.append(text: key)
    let digest = try DigestContext.make(.sha256).digest256(buffer.view)
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in digest.array { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
    let line = name + ":" + String(decoding: text, as: UTF8.self)
    return attributes.isEmpty ? line : line + ":" + attributes
  }

  static func isName(_ name: ByteView) -> Bool {
    guard !name.isEmpty, name.count <= 128 else { return false }
    for index in 0..<name.count {
      switch name[index] {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x40: continue
      default: return false
      }
    }
    return true
  }

  static func areAttributes(_ attributes: ByteView) -> Bool {
    if attributes.isEmpty { return true }
    var rest = attributes
    while true {
      let end = rest.firstIndex(of: ASCII.comma) ?? rest.count
      let part = rest.prefix(end)
      guard let equals = part.firstIndex(of: ASCII.equals), isName(part.prefix(equals)) else {
        return false
      }
      for index in 0..<part.count where part[index] < 0x20 || part[index] == 0x7F { return false }
      if end == rest.count { return true }
      rest = rest.dropping(first: end + 1)
    }
  }
}
