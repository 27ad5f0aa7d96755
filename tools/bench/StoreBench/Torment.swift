// kill -9, again and again, on a process that fills, purges and evicts; then a look at what is left.
//
// The child says on its standard output what was acknowledged: "p TAG VERSION" once a hard purge of a tag
// is, "s TAG VERSION" once a soft one is, where every object of that tag with a version up to VERSION was
// begun before the purge. The content of an object follows from its key and version, so the parent can
// tell each wrong byte. What must hold after each kill:
//
//   - the store opens without being set aside, and its own check finds nothing wrong;
//   - each object is its key's, whole, with the bytes of its version;
//   - of a sliced object each chunk that is there has its bytes;
//   - no object is as old as a hard purge that was acknowledged, and what is as old as a soft one is
//     marked stale.

import Bytes
import CLinux
import EventLoop
import ObjectStore
import Synchronization

/// What parent and child know of the objects.
enum Script {
  static let keys = 300
  static let slicedKeys = 12
  static let tags = 40
  static let limit: UInt64 = 24 << 20

  static func key(_ number: Int) -> String { "http://torment.example/\(number)" }
  static func tag(_ number: Int) -> Int { number % tags }

  /// The length of an object's content: small ones, and large ones in chunks.
  static func length(_ number: Int, _ version: UInt64) -> Int {
    if number < slicedKeys { return 1_200_000 + number * 100_000 }
    var random = Seeded(version &* 31 &+ UInt64(number))
    switch random.next() % 40 {
    case 0: return 700_000 + Int(random.next() % 300_000)
    case 1...3: return 17_000 + Int(random.next() % 200_000)
    default: return 32 + Int(random.next() % 16_000)
    }
  }

  /// A part of an object's content that begins with it or with one of its chunks: key, version and place
  /// again and again, so that bytes of another object, version or chunk are told at once.
  static func content(_ number: Int, _ version: UInt64, _ range: Range<Int>) -> [UInt8] {
    var stamp: [UInt8] = []
    for word in [UInt64(number) << 32 | UInt64(range.lowerBound), version] {
      for shift in stride(from: 0, to: 64, by: 8) {
        stamp.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
      }
    }
    var bytes = stamp
    while bytes.count < range.count { bytes += bytes }
    return Array(bytes[..<range.count])
  }
}

/// The process that is killed.
enum TormentChild {
  static func run(_ arguments: Arguments, _ directory: String) {
    _ = weir_die_with_parent(SIGKILL)
    let store = StoreBench.open(directory, limit: Script.limit)
    let version = Atomic<UInt64>(UInt64(arguments.number("version", 1)))
    let seed = UInt64(arguments.number("seed", 1))
    // Two that fill, one that reads, one that purges.
    let threads = (0..<4).map { index in
      LoopThread(name: "torment") {
        var random = Seeded(seed &* 1_000 &+ UInt64(index))
        while true {
          switch index {
          case 0, 1: fill(store, version, &random)
          case 2: purge(store, version, &random)
          default: read(store, &random)
          }
        }
      }
    }
    say("ready")
    for thread in threads { thread.join() }
  }

  private static func say(_ text: String) {
    Array((text + "\n").utf8).withView { _ = unsafe write(1, $0.baseAddress, $0.count) }
  }

  private static func object(
    _ number: Int, _ version: UInt64, _ store: ObjectStore, _ mark: FillMark, _ body: NewBody
  ) -> NewObject {
    let key = Array(Script.key(number).utf8)
    return NewObject(
      keyHash: key.withView { store.keyHash($0) }, key: key,
      metadata: Metadata(status: 200, responseTime: Int64(version), lifetime: 60_000),
      head: Array("content-type: text/plain\r\n".utf8),
      tags: ["tag \(Script.tag(number))".withView { store.tagHash($0) }],
      implicitTags: [UInt64(number + 1)], body: body, sequence: mark.sequence)
  }

  private static func fill(
    _ store: ObjectStore, _ version: borrowing Atomic<UInt64>, _ random: inout Seeded
  ) {
    let number = Int(random.next() % UInt64(Script.keys))
    // The mark first: a purge that sees this version as begun is newer than the mark, or was before it.
    let mark = store.beginFill()
    let version = version.add(1, ordering: .sequentiallyConsistent).newValue
    let length = Script.length(number, version)
    if number < Script.slicedKeys {
      return slice(number, version, length, store, mark, &random)
    }
    if length <= ObjectStore.inlineLimit {
      let body = NewBody.inline(Script.content(number, version, 0..<length))
      let object = object(number, version, store, mark, body)
      if !store.store(object, completion: { _ in store.endFill(mark) }) {
        store.endFill(mark)
        usleep(500)
      }
      return
    }
    let body = store.makeBodyID()
    for (index, start) in stride(from: 0, to: length, by: ObjectStore.chunkSize).enumerated() {
      let bytes = chunk(number, version, start, length)
      while !store.storeChunk(body: body, number: UInt32(index), bytes, completion: { _ in }) {
        usleep(500)
      }
    }
    let object = object(number, version, store, mark, .chunks(id: body, length: UInt64(length)))
    if !store.store(object, completion: { _ in store.endFill(mark) }) {
      store.dropBody(body)
      store.endFill(mark)
    }
  }

  private static func chunk(_ number: Int, _ version: UInt64, _ start: Int, _ length: Int)
    -> SharedBytes
  {
    let range = start..<min(start + ObjectStore.chunkSize, length)
    let bytes = SharedBytes(capacity: range.count)
    Script.content(number, version, range).withView { _ = bytes.append($0) }
    return bytes
  }

  private static func slice(
    _ number: Int, _ version: UInt64, _ length: Int, _ store: ObjectStore, _ mark: FillMark,
    _ random: inout Seeded
  ) {
    let body = store.makeBodyID()
    let object = object(number, version, store, mark, .slices(id: body, length: UInt64(length)))
    guard store.store(object, completion: { _ in store.endFill(mark) }) else {
      return store.endFill(mark)
    }
    let count = (length + ObjectStore.chunkSize - 1) / ObjectStore.chunkSize
    for index in (0..<count).shuffled(using: &random).prefix(Int(random.next() % UInt64(count + 1)))
    {
      let bytes = chunk(number, version, index * ObjectStore.chunkSize, length)
      _ = store.storeSlice(body: body, number: UInt32(index), bytes) { _ in }
    }
    if random.next() % 5 == 0 { store.removeSliced(keyHash: object.keyHash, body: body) }
  }

  private static func purge(
    _ store: ObjectStore, _ version: borrowing Atomic<UInt64>, _ random: inout Seeded
  ) {
    let tag = Int(random.next() % UInt64(Script.tags))
    let isSoft = random.next() % 3 == 0
    let begun = version.load(ordering: .sequentiallyConsistent)
    let done = Inlet()
    let hash = "tag \(tag)".withView { store.tagHash($0) }
    store.purge(PurgeOrder(.tags([hash]), isSoft: isSoft, time: 1_000, who: "torment")) {
      done.put((try? $0.get()) != nil)
    }
    if done.take() { say("\(isSoft ? "s" : "p") \(tag) \(begun)") }
    usleep(UInt32(random.next() % 3_000))
  }

  private static func read(_ store: ObjectStore, _ random: inout Seeded) {
    let reader = StoreBench.reader(store)
    for _ in 0..<2_000 {
      let key = Array(Script.key(Int(random.next() % UInt64(Script.keys))).utf8)
      key.withView { _ = reader.lookup(store.keyHash($0), key: $0) }
      reader.endTurn()
      if random.next() % 16 == 0 { usleep(50) }
    }
  }
}

/// Carries one answer from one thread to another.
final class Inlet: Sendable {
  private let value = Mutex<Bool?>(nil)
  private let waker = try? Waker()

  func put(_ answer: Bool) {
    value.withLock { $0 = answer }
    waker?.wake()
  }

  func take() -> Bool {
    while true {
      if let answer = value.withLock({ $0 }) { return answer }
      if let waker { waker.wait(milliseconds: 100) } else { usleep(100) }
    }
  }
}

/// The process that kills.
enum Torment {
  private struct Found {
    var objects = 0
    var chunks = 0
    var acknowledged = 0
  }

  static func run(_ arguments: Arguments, _ directory: String) {
    let rounds = arguments.number("rounds", 100)
    var random = Seeded(UInt64(arguments.number("seed", 1)))
    Files.remove(directory)
    var hard = [UInt64](repeating: 0, count: Script.tags)
    var soft = hard
    var total = Found()
    for round in 1...max(rounds, 1) {
      // Versions of a round are above those of the ones before.
      let version = UInt64(round) * 10_000_000
      let said = torment(directory, version: version, seed: random.next() >> 40, &random)
      for line in said.split(separator: "\n").dropLast(said.hasSuffix("\n") ? 0 : 1) {
        let words = line.split(separator: " ")
        guard words.count == 3, let tag = Int(words[1]), let version = UInt64(words[2]) else {
          continue
        }
        total.acknowledged += 1
        if words[0] == "p" {
          hard[tag] = max(hard[tag], version)
        } else {
          soft[tag] = max(soft[tag], version)
        }
      }
      let found = look(directory, hard, soft, round)
      total.objects += found.objects
      total.chunks += found.chunks
    }
    Files.remove(directory)
    print(
      "torment: \(rounds) kills, \(total.acknowledged) purges acknowledged, \(total.objects) "
        + "objects and \(total.chunks) chunks looked at, nothing wrong")
    print(
      "{\"bench\": \"store torment\", \"kills\": \(rounds), \"purges\": \(total.acknowledged), "
        + "\"objects\": \(total.objects), \"chunks\": \(total.chunks)}")
  }

  /// Runs a child for a while, kills it, and returns what it said.
  private static func torment(
    _ directory: String, version: UInt64, seed: UInt64, _ random: inout Seeded
  ) -> String {
    var ends: [Int32] = [-1, -1]
    guard unsafe pipe2(&ends, O_CLOEXEC) == 0 else { fail("no pipe: \(Errno.current)") }
    let words = [
      "/proc/self/exe", "torment-child", "--directory", directory, "--version", "\(version)",
      "--seed", "\(seed)",
    ]
    var actions = unsafe posix_spawn_file_actions_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
    var vector = unsafe words.map { unsafe strdup($0) }
    unsafe vector.append(nil)
    var child: pid_t = 0
    let code = unsafe posix_spawn(
      &child, "/proc/self/exe", &actions, nil, vector, weir_environment())
    unsafe vector.forEach { unsafe free($0) }
    unsafe posix_spawn_file_actions_destroy(&actions)
    close(ends[1])
    guard code == 0 else { fail("no child: \(Errno(code))") }
    var said: [UInt8] = []
    // Some are killed while they open the store, the others at work.
    if random.next() % 8 == 0 {
      usleep(UInt32(random.next() % 20_000))
    } else {
      while !said.contains(10), readSome(ends[0], &said) {}
      usleep(UInt32(random.next() % 250_000))
    }
    kill(child, SIGKILL)
    while readSome(ends[0], &said) {}
    close(ends[0])
    var status: Int32 = 0
    _ = unsafe waitpid(child, &status, 0)
    guard weir_wifsignaled(status) != 0, weir_wtermsig(status) == SIGKILL else {
      fail("the child ended by itself")
    }
    return String(decoding: said, as: UTF8.self)
  }

  private static func readSome(_ file: Int32, _ bytes: inout [UInt8]) -> Bool {
    var part = [UInt8](repeating: 0, count: 65_536)
    let count = unsafe part.withUnsafeMutableBytes { unsafe read(file, $0.baseAddress, $0.count) }
    if count > 0 { bytes += part[..<count] }
    return count > 0
  }

  private static func look(
    _ directory: String, _ hard: [UInt64], _ soft: [UInt64], _ round: Int
  ) -> Found {
    let store = StoreBench.open(directory, limit: Script.limit)
    let reader = StoreBench.reader(store)
    var found = Found()
    for number in 0..<Script.keys {
      let text = Script.key(number)
      text.withView { key in
        guard case .found(let response) = reader.lookup(store.keyHash(key), key: key) else {
          return
        }
        found.objects += 1
        let version = UInt64(response.responseTime)
        let name = "round \(round): \(text) of version \(version)"
        if response.key.string != text { fail("\(name) has another key") }
        let tag = Script.tag(number)
        if version <= hard[tag] { fail("\(name) was purged at \(hard[tag])") }
        if version <= soft[tag] && !response.isSoftlyPurged {
          fail("\(name) was softly purged at \(soft[tag])")
        }
        if Int(response.bodyLength) != Script.length(number, version) { fail("\(name): length") }
        if response.bodyID == 0 {
          expect(response.body, number, version, at: 0, name)
        } else {
          found.chunks += chunks(of: response, number, version, reader, name)
        }
      }
      reader.endTurn()
    }
    do {
      try store.check()
    } catch {
      fail("round \(round): \(error)")
    }
    store.close()
    return found
  }

  private static func chunks(
    of response: StoredResponse, _ number: Int, _ version: UInt64, _ reader: StoreReader,
    _ name: String
  ) -> Int {
    var chunks = 0
    let size = UInt64(ObjectStore.chunkSize)
    for index in 0..<(response.bodyLength + size - 1) / size {
      let start = index * size
      guard reader.presence(of: response, from: start, to: response.bodyLength).isPresent else {
        continue
      }
      guard let bytes = reader.chunk(body: response.bodyID, number: UInt32(index)) else {
        fail("\(name): chunk \(index) is not there")
      }
      let length = min(size, response.bodyLength - start)
      if bytes.count != Int(length) { fail("\(name): chunk \(index) has \(bytes.count) bytes") }
      expect(bytes, number, version, at: Int(start), name)
      chunks += 1
    }
    return chunks
  }

  private static func expect(
    _ bytes: ByteView, _ number: Int, _ version: UInt64, at start: Int, _ name: String
  ) {
    let content = Script.content(number, version, start..<start + bytes.count)
    if !content.withView({ $0 == bytes }) { fail("\(name): wrong bytes from \(start) on") }
  }
}
