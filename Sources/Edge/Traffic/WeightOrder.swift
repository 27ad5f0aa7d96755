// Which of up to some thousands of weights is the least, while they grow: a heap of their places, the least
// at the top. To add to a weight takes as many steps as it has to sink, mostly none: a name that is seen
// often stands at the bottom.

/// See the top of this file.
struct WeightOrder {
  private var weights: [UInt64] = []
  /// Places, each not heavier than the two below it.
  private var heap: [Int32] = []
  /// Where in the heap each place stands.
  private var standing: [Int32] = []

  /// The place of a least weight; 0 if there is none.
  var lightest: Int { heap.isEmpty ? 0 : Int(heap[0]) }

  func weight(of place: Int) -> UInt64 { weights[place] }

  /// A weight at the next place.
  mutating func append(_ weight: UInt64) {
    weights.append(weight)
    standing.append(Int32(heap.count))
    heap.append(Int32(weights.count - 1))
    rise(heap.count - 1)
  }

  /// Adds to a weight, up to the largest number.
  mutating func add(_ weight: UInt64, to place: Int) {
    weights[place] = HeavyHitters.Tally.sum(weights[place], weight)
    sink(Int(standing[place]))
  }

  private mutating func sink(_ start: Int) {
    var index = start
    let place = heap[index]
    let weight = weights[Int(place)]
    while true {
      var below = 2 * index + 1
      guard below < heap.count else { break }
      var least = weights[Int(heap[below])]
      if below + 1 < heap.count, weights[Int(heap[below + 1])] < least {
        below += 1
        least = weights[Int(heap[below])]
      }
      guard least < weight else { break }
      put(heap[below], at: index)
      index = below
    }
    put(place, at: index)
  }

  private mutating func rise(_ start: Int) {
    var index = start
    let place = heap[index]
    let weight = weights[Int(place)]
    while index > 0 {
      let above = (index - 1) / 2
      guard weights[Int(heap[above])] > weight else { break }
      put(heap[above], at: index)
      index = above
    }
    put(place, at: index)
  }

  private mutating func put(_ place: Int32, at index: Int) {
    heap[index] = place
    standing[Int(place)] = Int32(index)
  }
}
