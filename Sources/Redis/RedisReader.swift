// hiredis's reader of the protocol. It is given bytes as they come and says what is whole; it is nested
// at most seven deep there, and ends a connection that says more.

internal import Bytes
internal import CHiredis

/// Turns bytes from a server into replies.
@safe
struct RedisReader: ~Copyable {
  private let reader: UnsafeMutablePointer<redisReader>

  private init(_ reader: UnsafeMutablePointer<redisReader>) { unsafe self.reader = reader }

  /// A reader; nil without memory.
  static func open() -> RedisReader? {
    guard let reader = unsafe redisReaderCreate() else { return nil }
    return unsafe RedisReader(reader)
  }

  deinit { unsafe redisReaderFree(reader) }

  /// What the bytes so far have come to.
  enum Step {
    /// More bytes are needed.
    case incomplete
    /// One reply.
    case reply(RedisReply)
    /// It is not the protocol.
    case damaged
  }

  /// Takes bytes; false if they are of no use any more.
  borrowing func feed(_ bytes: ByteView) -> Bool {
    if bytes.isEmpty { return true }
    // Safe: the reader copies what the view covers, within the call.
    return unsafe redisReaderFeed(
      reader, bytes.baseAddress.assumingMemoryBound(to: CChar.self), bytes.count) == REDIS_OK
  }

  /// The next reply.
  borrowing func next() -> Step {
    var object: UnsafeMutableRawPointer?
    guard unsafe redisReaderGetReply(reader, &object) == REDIS_OK else { return .damaged }
    guard let object = unsafe object else { return .incomplete }
    defer { unsafe freeReplyObject(object) }
    let reply = unsafe object.assumingMemoryBound(to: redisReply.self)
    return unsafe .reply(Self.value(reply.pointee))
  }

  /// A copy of a reply; its depth is bounded by the reader.
  private static func value(_ reply: redisReply) -> RedisReply {
    switch unsafe reply.type {
    case REDIS_REPLY_INTEGER: return unsafe .integer(Int64(reply.integer))
    case REDIS_REPLY_STRING: return unsafe .bytes(bytes(reply))
    case REDIS_REPLY_STATUS: return unsafe .status(String(decoding: bytes(reply), as: UTF8.self))
    case REDIS_REPLY_ERROR: return unsafe .error(String(decoding: bytes(reply), as: UTF8.self))
    case REDIS_REPLY_ARRAY:
      var list: [RedisReply] = []
      // Safe: hiredis says how many elements its vector has; all are set in a whole reply.
      for index in 0..<(unsafe reply.elements) {
        guard let element = unsafe reply.element?[index] else { continue }
        unsafe list.append(value(element.pointee))
      }
      return .array(list)
    default: return .null
    }
  }

  private static func bytes(_ reply: redisReply) -> [UInt8] {
    // Safe: the string has that length, and lives until the reply is freed.
    unsafe Array(UnsafeRawBufferPointer(start: reply.str, count: reply.len))
  }
}
