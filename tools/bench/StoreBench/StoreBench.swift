import Bytes
import CLinux
import EventLoop
import ObjectStore
import Synchronization

/// Measures the store alone, and torments it.
@main enum StoreBench {
  static let help = """
    Usage: store COMMAND [--NAME VALUE]…

      fill      objects stored each second, five tags each, into a full store that evicts
                  --directory DIR (./store-bench)  --limit MIB (512)  --objects N (400000)
                  --bytes N of content (1024)
      lookup    lookups among many objects, keys by Zipf's law; memory for each object, cold start
                  --directory DIR  --objects N[,N…] (10000,1000000,10000000)  --alpha 0.9
      torment   fills, purges and evicts in a process that is killed, again and again, and looks at
                what is left; ends with status 1 at the first thing that is wrong
                  --directory DIR  --rounds N (100)  --seed N (1)

    Each prints a line of JSON at the end.
    """

  static func main() {
    weir_ignore_signal(SIGPIPE)
    let words = CommandLine.arguments.dropFirst()
    let arguments = Arguments(words.dropFirst())
    let directory = arguments["directory"] ?? "store-bench"
    switch words.first {
    case "fill": FillBench.run(arguments, directory)
    case "lookup": LookupBench.run(arguments, directory)
    case "torment": Torment.run(arguments, directory)
    case "torment-child": TormentChild.run(arguments, directory)
    default:
      print(help)
      exit(words.first == "--help" || words.first == "-h" ? 0 : 2)
    }
  }

  static func open(_ directory: String, limit: UInt64) -> ObjectStore {
    do {
      let store = try ObjectStore.open(
        StoreOptions(path: directory, sizeLimit: limit, readers: 4) { fail($0) })
      if let note = store.openingNote { fail(note) }
      return store
    } catch {
      fail("\(error)")
    }
  }

  static func reader(_ store: ObjectStore) -> StoreReader {
    do { return try store.makeReader() } catch { fail("\(error)") }
  }
}

/// How fast objects are stored.
enum FillBench {
  static func run(_ arguments: Arguments, _ directory: String) {
    let limit = UInt64(arguments.number("limit", 512)) << 20
    let count = arguments.number("objects", 400_000)
    let size = arguments.number("bytes", 1_024)
    Files.remove(directory)
    let store = StoreBench.open(directory, limit: limit)
    let filler = Filler(store: store, size: size)
    // Until it is full and has evicted for a while.
    var number = 0
    while store.statistics.evictions < 20_000 {
      for _ in 0..<1_000 {
        filler.store(number)
        number += 1
      }
    }
    store.flush()
    let before = store.statistics
    let (start, cpu) = (Usage.nanoseconds(), Usage.cpu)
    for index in 0..<count { filler.store(number + index) }
    store.flush()
    let seconds = Double(Usage.nanoseconds() - start) / 1e9
    let cpuEach = Double(Usage.cpu - cpu) / Double(count) / 1e3
    let after = store.statistics
    let inserted = Double(after.insertions - before.insertions)
    print("fill: \(Int(inserted / seconds)) objects/s of \(size) bytes and 5 tags,")
    print("  \(rounded(cpuEach, 2)) µs of processor time each,")
    print(
      "  \(after.evictions - before.evictions) evicted, \(after.commits - before.commits) commits")
    print(
      "{\"bench\": \"store fill\", \"bytes\": \(size), \"objects_per_second\": "
        + "\(Int(inserted / seconds)), \"cpu_us\": \(rounded(cpuEach, 2))}")
    store.close()
    Files.remove(directory)
  }
}

/// Stores objects of one size with names that follow from a number.
final class Filler {
  let store: ObjectStore
  let body: [UInt8]
  private let head = Array(
    "content-type: text/html\r\netag: \"0123456789abcdef\"\r\nlast-modified: today\r\n".utf8)
  let tagCount: Int

  init(store: ObjectStore, size: Int, tags: Int = 5) {
    self.store = store
    body = [UInt8](repeating: 0x78, count: size)
    tagCount = tags
  }

  static func key(_ number: Int) -> [UInt8] {
    Array("http://shop.example/products/\(number)?variant=blue".utf8)
  }

  func store(_ number: Int) {
    let key = Self.key(number)
    let tags = (0..<tagCount).map { tag in
      "tag \(tag) of \(number % (10 << (3 * tag)))".withView { store.tagHash($0) }
    }
    let object = NewObject(
      keyHash: key.withView { store.keyHash($0) }, key: key,
      metadata: Metadata(status: 200, responseTime: 1, lifetime: 60_000), head: head, tags: tags,
      implicitTags: [UInt64(number + 1), 77], body: .inline(body), sequence: store.purgeSequence)
    while !store.store(object, completion: { _ in }) { usleep(200) }
  }
}

/// How fast objects are found.
enum LookupBench {
  static func run(_ arguments: Arguments, _ directory: String) {
    let counts = (arguments["objects"] ?? "10000,1000000,10000000").split(separator: ",")
      .compactMap { Int($0) }
    let alpha = arguments["alpha"].flatMap { Double($0) } ?? 0.9
    for count in counts { measure(count, alpha, directory) }
  }

  private static func measure(_ count: Int, _ alpha: Double, _ directory: String) {
    Files.remove(directory)
    let limit = UInt64(count) * 1_000 + 256 << 20
    let (objects, table) = fill(count, directory, limit)
    let started = Usage.nanoseconds()
    let anonymous = Usage.privateMemory
    let store = StoreBench.open(directory, limit: limit)
    let start = Double(Usage.nanoseconds() - started) / 1e6
    let memory = Double(Usage.privateMemory - anonymous) * 1_024 / Double(objects)
    let reader = StoreBench.reader(store)
    var random = Seeded(7)
    let zipf = Zipf(count, alpha: alpha)
    let numbers = (0..<1_000_000).map { _ in
      UInt32(zipf.next(&random) * 7_919 % count)
    }
    // Once for what is verified and read in on first use.
    _ = pass(store, reader, numbers)
    let each = (0..<5).map { _ in pass(store, reader, numbers) }.min() ?? 0
    print(
      "lookup among \(count): \(Int(each)) ns; "
        + "\(rounded(table)) bytes of table and \(rounded(memory)) of memory an object; "
        + "start \(Int(start)) ms")
    print(
      "{\"bench\": \"store lookup\", \"objects\": \(objects), \"ns\": \(Int(each)), "
        + "\"table_bytes\": \(rounded(table)), "
        + "\"memory_bytes\": \(rounded(memory)), \"start_ms\": \(Int(start))}")
    store.close()
    Files.remove(directory)
  }

  /// Fills a store and closes it; returns how many objects it has, and the table's bytes for each.
  private static func fill(_ count: Int, _ directory: String, _ limit: UInt64) -> (Int, Double) {
    let store = StoreBench.open(directory, limit: limit)
    let filler = Filler(store: store, size: 100, tags: 0)
    for number in 0..<count { filler.store(number) }
    store.flush()
    let figures = store.statistics
    store.close()
    return (Int(figures.objects), Double(figures.tableBytes) / Double(figures.objects))
  }

  /// Looks all of them up, 16 to a turn, with a hash between as a limit would have it, and returns ns of
  /// processor time for each. (Asking for the table's entry ahead was tried at this place: no gain. Most
  /// of what a lookup among many waits for is LMDB's way down to the leaf, and the record.)
  private static func pass(
    _ store: ObjectStore, _ reader: StoreReader, _ numbers: [UInt32]
  ) -> Double {
    var key = ByteBuffer(capacity: 256)
    var found = 0
    var sum: UInt64 = 0
    let work = [UInt8](repeating: 1, count: 128)
    let start = Usage.nanoseconds(CLOCK_THREAD_CPUTIME_ID)
    for (index, number) in numbers.enumerated() {
      key.removeAll()
      key.append("http://shop.example/products/")
      key.append(decimal: UInt64(number))
      key.append("?variant=blue")
      let hash = store.keyHash(key.view)
      sum &+= work.withView { store.tagHash($0) }
      if case .found(let response) = reader.lookup(hash, key: key.view) {
        found += response.body.count > 0 && response.body[0] == 0x78 ? 1 : 0
      }
      if index % 16 == 15 { reader.endTurn() }
    }
    reader.endTurn()
    let each = Double(Usage.nanoseconds(CLOCK_THREAD_CPUTIME_ID) - start) / Double(numbers.count)
    if found != numbers.count || sum == 0 {
      fail("\(numbers.count - found) objects were not found")
    }
    return each
  }
}
