/// Columns of text.
enum TextTable {
  /// Rows of cells, the columns as wide as their widest cell. What a terminal would act on is not shown.
  static func text(_ rows: [[String]]) -> String {
    let shown = rows.map { $0.map(Self.shown) }
    let columns = shown.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      shown.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    return shown.map { row in
      let cells = row.enumerated().map { index, cell in
        index == row.count - 1
          ? cell : cell + String(repeating: " ", count: widths[index] - cell.count)
      }
      return cells.joined(separator: "  ") + "\n"
    }.joined()
  }

  /// A text without what a terminal would act on.
  static func shown(_ text: String) -> String { String(text.map { isShown($0) ? $0 : "·" }) }

  private static func isShown(_ character: Character) -> Bool {
    character.unicodeScalars.allSatisfy { scalar in
      switch scalar.properties.generalCategory {
      case .control, .format, .lineSeparator, .paragraphSeparator: false
      default: true
      }
    }
  }
}
