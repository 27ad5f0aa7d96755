import Bytes
import CLinux
import Checksum

/// What a record is made from.
struct RecordSource {
  var isRules = false
  /// The id that names the stored response.
  var birth: UInt64
  var keyHash: Hash128
  var key: [UInt8]
  var rule: [UInt8] = []
  var values: [UInt8] = []
  /// The URL that the client sent; empty if the key is it.
  var target: [UInt8] = []
  var metadata: Metadata
  var head: [UInt8]
  /// Ascending, without repeats.
  var tags: [UInt64]
  var implicitTags: [UInt64]
  var inlineBody: [UInt8] = []
  /// 0: inline.
  var bodyID: UInt64 = 0
  var bodyLength: UInt64
  /// Whether chunks of the body may be missing.
  var isSliced = false
  var sequence: UInt64
  /// Since when it is stale by a soft purge that is newer than `sequence`; `.max` if it is not. Goes into
  /// the index entry only.
  var softTime = Int64.max

  /// The record of a response that is stored under `hash`.
  init(_ object: NewObject, under hash: Hash128, birth: UInt64) {
    self.birth = birth
    keyHash = hash
    key = object.key
    target = object.target
    metadata = object.metadata
    head = object.head
    tags = Self.ordered(object.tags)
    implicitTags = Self.ordered(object.implicitTags)
    sequence = object.sequence
    switch object.body {
    case .inline(let bytes):
      inlineBody = bytes
      bodyLength = UInt64(bytes.count)
    case .chunks(let id, let length):
      bodyID = id
      bodyLength = length
    case .slices(let id, let length):
      bodyID = id
      bodyLength = length
      isSliced = true
    }
  }

  /// A record again, to be changed and stored under a new id.
  init(copying record: RecordView, birth: UInt64) {
    isRules = record.isRules
    self.birth = birth
    keyHash = record.keyHash
    key = record.key.array
    rule = record.rule.array
    values = record.values.array
    target = record.target.array
    metadata = record.metadata
    head = record.head.array
    tags = (0..<record.tagCount).map { record.tags[$0] }
    implicitTags = (record.tagCount..<record.tags.count).map { record.tags[$0] }
    inlineBody = record.body.array
    bodyID = record.bodyID
    bodyLength = record.bodyLength
    isSliced = record.isSliced
    sequence = record.sequence
  }

  /// The Vary rules of a key.
  init(rules: [[UInt8]], key: [UInt8], keyHash: Hash128, birth: UInt64, sequence: UInt64) {
    isRules = true
    self.birth = birth
    self.keyHash = keyHash
    self.key = key
    metadata = Metadata(status: 0, responseTime: 0, lifetime: 0)
    var list = ByteBuffer()
    list.append(UInt8(clamping: rules.count))
    for rule in rules {
      list.append(littleEndian: UInt16(clamping: rule.count))
      rule.withView { list.append($0) }
    }
    head = list.view.array
    tags = []
    implicitTags = []
    bodyLength = 0
    self.sequence = sequence
  }

  /// Tags as records keep them: ascending, without repeats.
  static func ordered(_ tags: [UInt64]) -> [UInt64] {
    if tags.count < 2 { return tags }
    var result: [UInt64] = []
    result.reserveCapacity(tags.count)
    for tag in tags.sorted() where tag != result.last { result.append(tag) }
    return result
  }

  /// Bytes of the record.
  var size: Int {
    RecordLayout.headerSize + 8 * (tags.count + implicitTags.count) + key.count + rule.count
      + values.count + target.count + head.count + inlineBody.count
  }

  /// Writes the record into `size` bytes.
  func encode(into memory: UnsafeMutableRawBufferPointer) {
    var writer = unsafe RecordWriter(memory)
    writer.skip(8)
    writer.append(RecordLayout.version)
    writer.append(isRules ? RecordLayout.rules : RecordLayout.response)
    writer.append(metadata.status)
    writer.append(metadata.flags)
    writer.append(keyHash.low)
    writer.append(keyHash.high)
    for length in [key.count, rule.count, values.count, head.count] {
      writer.append(UInt32(clamping: length))
    }
    writer.append(UInt16(clamping: tags.count))
    writer.append(UInt16(clamping: implicitTags.count))
    writer.append(isSliced ? RecordLayout.slicedFlag : 0)
    writer.append(UInt16(clamping: target.count))
    for word in [bodyID, bodyLength, sequence] { writer.append(word) }
    writer.append(metadata.responseTime)
    writer.append(metadata.correctedInitialAge)
    writer.append(metadata.lifetime)
    writer.append(metadata.staleWhileRevalidate)
    writer.append(metadata.staleIfError)
    writer.append(metadata.lastModified)
    writer.append(metadata.etagOffset)
    writer.append(metadata.etagLength)
    writer.append(birth)
    for tag in tags { writer.append(tag) }
    for tag in implicitTags { writer.append(tag) }
    for part in [key, rule, values, target, head, inlineBody] {
      part.withView { writer.append($0) }
    }
    writer.finish()
  }
}

/// Writes integers and bytes one after the other into memory of a known size.
@safe
private struct RecordWriter {
  private let memory: UnsafeMutableRawBufferPointer
  private var offset = 0

  init(_ memory: UnsafeMutableRawBufferPointer) { unsafe self.memory = memory }

  mutating func skip(_ length: Int) { offset += length }

  mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    let size = MemoryLayout<Value>.size
    precondition(unsafe memory.count - offset >= size, "a record larger than its size")
    unsafe memory.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Value.self)
    offset += size
  }

  mutating func append(_ bytes: ByteView) {
    guard bytes.count > 0, let base = unsafe memory.baseAddress else { return }
    precondition(unsafe memory.count - offset >= bytes.count, "a record larger than its size")
    unsafe memcpy(base + offset, bytes.baseAddress, bytes.count)
    offset += bytes.count
  }

  /// Writes the checksum of everything behind it.
  mutating func finish() {
    precondition(unsafe offset == memory.count, "a record smaller than its size")
    let sum = Checksum.of(
      unsafe ByteView(unsafe: UnsafeRawBufferPointer(memory)).dropping(first: 8))
    unsafe memory.storeBytes(of: sum.littleEndian, as: UInt64.self)
  }
}
