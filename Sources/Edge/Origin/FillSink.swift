// Where an answer's content goes: into the fill's segments, and from there to the store.
//
// Segments of a fill that is stored are as long as the store's chunks, so that a full one is handed over
// as it is. A small response of known length gets one segment of just that length.

internal import Bytes
internal import Configuration
internal import EventLoop
internal import HTTPCaching
internal import ObjectStore

struct FillSink {
  let fill: Fill
  let worker: Worker
  private var head: FillHead?
  private var segment: SharedBytes?
  /// Bytes of content so far.
  private(set) var received: UInt64 = 0
  private var bodyID: UInt64 = 0
  private var chunksHandedOver: UInt32 = 0
  /// The number of its first chunk within the body: of a slice.
  private var firstChunk: UInt32 = 0
  private var tags: [UInt64] = []
  private var implicitTags: [UInt64] = []
  /// The longest content that is stored here.
  private let limit: UInt64
  /// Whether the content is on its way to the store.
  private(set) var isStoring = false

  /// The first segment of a content of unknown length.
  private static let firstSegment = 16 << 10
  /// Segments of a content that is not stored.
  private static let passingSegment = 64 << 10

  init(fill: Fill, worker: Worker, generation: WorkerGeneration, route: Int) {
    self.fill = fill
    self.worker = worker
    limit = min(
      generation.shared.largestObject, generation.routes.policies[route].caching.greatestObject)
  }

  /// Begins; returns the id under which chunks will be in the store, 0 if there will be none.
  mutating func begin(_ head: FillHead, tags: [UInt64], implicitTags: [UInt64]) -> UInt64 {
    self.head = head
    self.tags = tags
    self.implicitTags = implicitTags
    isStoring = head.isStored
    if let sliced = head.sliced {
      bodyID = sliced.id
      firstChunk = UInt32(truncatingIfNeeded: head.contentStart / UInt64(ObjectStore.chunkSize))
    } else if isStoring, let store = worker.context.store {
      if head.length.map({ $0 > UInt64(ObjectStore.inlineLimit) }) ?? true {
        bodyID = store.makeBodyID()
      }
    } else {
      endMark()
    }
    return bodyID
  }

  /// Appends bytes that were read elsewhere.
  mutating func append(_ bytes: ByteView) {
    var rest = bytes
    while !rest.isEmpty {
      let segment = segmentWithRoom(atLeast: UInt64(rest.count))
      let taken = segment.append(rest)
      grew(by: taken)
      rest = rest.dropping(first: taken)
    }
  }

  /// Reads from a connection straight into a segment.
  mutating func read(from connection: OriginConnection, limit: UInt64) -> IOResult {
    let segment = segmentWithRoom(atLeast: limit)
    let room = unsafe UnsafeMutableRawBufferPointer(
      rebasing: segment.room.prefix(Int(clamping: min(limit, 256 << 10))))
    let result = unsafe connection.receive(into: room)
    if let count = result.count, count > 0 {
      segment.commit(count)
      grew(by: count)
    }
    return result
  }

  private mutating func grew(by count: Int) {
    received += UInt64(count)
    fill.grew(by: count)
    if isStoring && received > limit { stopStoring() }
    if let segment, segment.isFull { handOver(segment) }
  }

  /// The current segment, or a new one if it is full.
  private mutating func segmentWithRoom(atLeast wanted: UInt64) -> SharedBytes {
    if let segment {
      if !segment.isFull { return segment }
      if isStoring && segment.capacity < ObjectStore.chunkSize && isFirstAndGrowing {
        // Of unknown length after all longer than thought: go on in a whole chunk.
        let larger = SharedBytes(capacity: ObjectStore.chunkSize)
        larger.append(segment.view(0..<segment.count))
        fill.replaceLast(larger)
        self.segment = larger
        return larger
      }
    }
    let fresh = SharedBytes(capacity: capacity(wanted: wanted))
    fill.append(fresh, count: 0)
    segment = fresh
    return fresh
  }

  private var isFirstAndGrowing: Bool { head?.length == nil && chunksHandedOver == 0 }

  /// How much of a slice there is.
  private var sliceLength: UInt64? { head?.sliced == nil ? nil : fill.slice?.range.count }

  private func capacity(wanted: UInt64) -> Int {
    if let length = sliceLength ?? head?.length {
      let rest = length > received ? length - received : max(wanted, 1)
      let most = isStoring ? UInt64(ObjectStore.chunkSize) : UInt64(Self.passingSegment)
      return Int(min(max(rest, 1), most))
    }
    if !isStoring { return Self.passingSegment }
    return received == 0 ? Self.firstSegment : ObjectStore.chunkSize
  }

  /// Gives a full chunk to the store.
  private mutating func handOver(_ segment: SharedBytes) {
    guard isStoring, bodyID != 0, segment.count == ObjectStore.chunkSize else { return }
    storeChunk(segment)
    self.segment = nil
  }

  private mutating func storeChunk(_ segment: SharedBytes) {
    guard let store = worker.context.store else { return }
    let end = received
    let fill = fill
    let context = worker.context
    let leader = worker.index
    let isDone: @Sendable (Bool) -> Void = { isStored in
      context.post(isStored ? .committed(fill, through: end) : .notStored(fill), to: leader)
    }
    let number = firstChunk + chunksHandedOver
    let taken =
      head?.sliced == nil
      ? store.storeChunk(body: bodyID, number: number, segment, completion: isDone)
      : store.storeSlice(body: bodyID, number: number, segment, completion: isDone)
    if taken { chunksHandedOver += 1 } else { stopStoring() }
  }

  /// Nothing more is stored; what was is dropped.
  mutating func stopStoring() {
    guard isStoring else { return }
    isStoring = false
    fill.stopStoring()
    worker.context.fills.remove(fill)
    if chunksHandedOver > 0 && head?.sliced == nil {
      // A client that is slower than the store reads these chunks next, and then pins them itself.
      worker.pinForAWhile(bodyID)
      worker.context.store?.dropBody(bodyID)
    }
    endMark()
  }

  /// The slice is whole: its record is there already.
  private mutating func finishSlice() {
    if let segment, segment.count > 0 { storeChunk(segment) }
    guard isStoring else { return }
    // It stays where others find it until the store has committed it (`Fill.committed`).
    isStoring = false
    endMark()
  }

  /// The content is whole: the record follows its chunks.
  mutating func finish() {
    if isStoring, head?.sliced != nil {
      finishSlice()
      return
    }
    guard isStoring, let store = worker.context.store, let head, let mark = fill.mark else {
      worker.context.fills.remove(fill)
      return
    }
    guard !head.isShared || worker.context.fills.mayStore(fill) else {
      stopStoring()
      return
    }
    let isInline = chunksHandedOver == 0 && received <= UInt64(ObjectStore.inlineLimit)
    if !isInline, let segment, segment.count > 0 { storeChunk(segment) }
    guard isStoring else { return }
    let content = segment.map { $0.view(0..<$0.count).array } ?? []
    var object = NewObject(
      keyHash: fill.fullKey.withView { store.keyHash($0) }, key: fill.fullKey,
      varyRule: head.varyRule, varyValues: head.varyValues, metadata: head.metadata,
      head: head.lines, tags: tags, implicitTags: implicitTags,
      body: isInline ? .inline(content) : .chunks(id: bodyID, length: received),
      sequence: mark.sequence)
    object.target = fill.target
    let fill = fill
    let fills = worker.context.fills
    let taken = store.store(object) { _ in
      fills.remove(fill)
      store.endFill(mark)
    }
    if taken {
      isStoring = false
    } else {
      stopStoring()
    }
  }

  /// The content will never be whole.
  mutating func fail() {
    worker.context.fills.remove(fill)
    if isStoring {
      stopStoring()
    } else if head == nil {
      endMark()
    }
  }

  private func endMark() {
    // That of a first slice ends with the storing of its record.
    if head?.sliced != nil && fill.slice?.body == nil { return }
    if let mark = fill.mark { worker.context.store?.endFill(mark) }
  }
}
