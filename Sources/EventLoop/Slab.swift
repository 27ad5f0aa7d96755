/// Places for a loop's connections, each named by (index, generation). The name is what the kernel's
/// events and other threads' messages carry, so a late one reaches nobody.
@usableFromInline
package struct Slab<Element: AnyObject>: ~Copyable {
  @usableFromInline
  struct Place {
    @usableFromInline var element: Element?
    @usableFromInline var generation: UInt32
    @inlinable
    init(element: Element?, generation: UInt32) {
      self.element = element
      self.generation = generation
    }
  }
  // Inlinable, since a generic that is not costs a hit its type's metadata.
  @usableFromInline var places: [Place] = []
  @usableFromInline var free: [UInt32] = []
  /// How many are there.
  @usableFromInline package internal(set) var count = 0

  /// No elements.
  @inlinable
  package init() {}

  /// Puts an element in; the name is (generation << 32 | index), its top four bits zero.
  @inlinable
  package mutating func insert(_ element: Element) -> UInt64 {
    count += 1
    if let index = free.popLast() {
      places[Int(index)].element = element
      return name(Int(index))
    }
    places.append(Place(element: element, generation: 1))
    return name(places.count - 1)
  }

  /// The element of that name, if it is still there.
  @inlinable @inline(__always)
  package func element(_ name: UInt64) -> Element? {
    let index = Int(UInt32(truncatingIfNeeded: name))
    guard index < places.count, places[index].generation == UInt32(truncatingIfNeeded: name >> 32)
    else { return nil }
    return places[index].element
  }

  /// Takes the element of that name out.
  @inlinable
  package mutating func remove(_ name: UInt64) {
    let index = Int(UInt32(truncatingIfNeeded: name))
    guard index < places.count, places[index].generation == UInt32(truncatingIfNeeded: name >> 32),
      places[index].element != nil
    else { return }
    places[index].element = nil
    places[index].generation = (places[index].generation &+ 1) & 0x0FFF_FFFF
    free.append(UInt32(truncatingIfNeeded: index))
    count -= 1
  }

  /// The elements there are now, copied: they may remove themselves while the caller goes through.
  @inlinable
  package var all: [Element] { places.compactMap(\.element) }

  @inlinable
  func name(_ index: Int) -> UInt64 {
    UInt64(places[index].generation) << 32 | UInt64(UInt32(truncatingIfNeeded: index))
  }
}
