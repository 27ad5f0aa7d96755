package import Bytes

/// A run of a body's bytes that are all there, or all missing.
package struct Presence: Sendable, Equatable {
  /// Whether the bytes are there.
  package var isPresent: Bool
  /// Where the run ends; or as far as was looked.
  package var end: UInt64
}

extension StoreReader {
  /// Chunks looked at in one call of `presence`: 64 MiB of a body, 0.2 to 0.5 µs each.
  private static let presenceLimit: UInt64 = 256

  /// Whether the byte at `offset` of a body is there, and how far, within `offset ..< end`, the same is
  /// true. Looks at most 64 MiB ahead: call again from where that ended. `end` is at most the body's
  /// length and above `offset`. Of a body that is not sliced everything is there.
  package func presence(of response: StoredResponse, from offset: UInt64, to end: UInt64)
    -> Presence
  {
    guard response.isSliced else { return Presence(isPresent: true, end: end) }
    return presence(
      ofSliced: response.bodyID, length: response.bodyLength, from: offset, to: end)
  }

  /// The same by the body's id and length, in a later turn.
  package func presence(ofSliced body: UInt64, length: UInt64, from offset: UInt64, to end: UInt64)
    -> Presence
  {
    let end = min(end, length)
    guard beginTurn(), body != 0, body < ChunkKey.bodyLimit, offset < end else {
      return Presence(isPresent: false, end: max(end, offset))
    }
    let size = UInt64(ObjectStore.chunkSize)
    let first = offset / size
    let last = min((end - 1) / size, first + Self.presenceLimit - 1)
    let isPresent = hasChunk(body, first)
    var number = first + 1
    while number <= last && hasChunk(body, number) == isPresent { number += 1 }
    return Presence(isPresent: isPresent, end: min(end, number * size))
  }

  private func hasChunk(_ body: UInt64, _ number: UInt64) -> Bool {
    number < ChunkKey.numberLimit && chunkValue(ChunkKey.make(body, number)) != nil
  }

  /// The ranges of a body that are there, ascending. Looks at every chunk: not for a worker's turn.
  package func presentRanges(of response: StoredResponse) -> [Range<UInt64>] {
    var ranges: [Range<UInt64>] = []
    var offset: UInt64 = 0
    while offset < response.bodyLength {
      let run = presence(of: response, from: offset, to: response.bodyLength)
      guard run.end > offset else { return ranges }
      if run.isPresent {
        if let last = ranges.last, last.upperBound == offset {
          ranges[ranges.count - 1] = last.lowerBound..<run.end
        } else {
          ranges.append(offset..<run.end)
        }
      }
      offset = run.end
    }
    return ranges
  }

  /// The bytes of a body in chunks from `offset` to the end of the chunk they stand in, at most `limit`;
  /// nil if that chunk is not there (of a sliced body: not yet) or damaged.
  package func bytes(ofBody body: UInt64, at offset: UInt64, limit: Int) -> ByteView? {
    let size = UInt64(ObjectStore.chunkSize)
    guard let number = UInt32(exactly: offset / size),
      let chunk = chunk(body: body, number: number)
    else { return nil }
    return chunk.dropping(first: Int(offset % size)).prefix(limit)
  }
}
