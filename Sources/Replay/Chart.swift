// Charts as SVG, drawn with classes that the page's style colours, so that they follow the reader's choice
// of dark or light.

/// One line of a chart.
struct ChartLine {
  var name: String
  /// The number of its colour, from 1.
  var colour: Int
  var dashed = false
  var points: [(x: Double, y: Double)]
}

/// A chart with lines over one axis.
struct Chart {
  var title: String
  var lines: [ChartLine]
  /// How values below are written.
  var labelX: (Double) -> String
  /// How values at the side are written.
  var labelY: (Double) -> String
  /// Whether the side grows tenfold from mark to mark.
  var isLogarithmic = false
  /// Marks below; nil: five, evenly.
  var marksX: [Double]?

  /// What is beyond is no figure of a run, but of a report that somebody made up.
  private static let most = 1e15
  private static let width = 640.0
  private static let height = 240.0
  private static let left = 64.0
  private static let bottom = 28.0
  private static let top = 10.0
  private static let right = 12.0

  /// The chart as a figure of HTML.
  func html() -> String {
    let lines = lines.map { line in
      var line = line
      line.points.removeAll { !(abs($0.x) < Self.most && abs($0.y) < Self.most) }
      return line
    }
    let points = lines.flatMap(\.points)
    let legend = lines.map { "<span class=\"k s\($0.colour)\">\(HTML.escaped($0.name))</span>" }
    let head =
      "<figure><figcaption>\(HTML.escaped(title)) \(legend.joined(separator: " "))</figcaption>"
    guard let firstX = points.map(\.x).min(), let lastX = points.map(\.x).max() else {
      return head + "<p class=none>nothing to show</p></figure>\n"
    }
    let scale = Scale(points.map(\.y), isLogarithmic: isLogarithmic)
    let span = lastX > firstX ? lastX - firstX : 1
    func x(_ value: Double) -> Double {
      Self.left + (value - firstX) / span * (Self.width - Self.left - Self.right)
    }
    func y(_ value: Double) -> Double {
      Self.top + (1 - scale.place(value)) * (Self.height - Self.top - Self.bottom)
    }
    var body = ""
    for mark in scale.marks {
      body +=
        "<line class=g x1=\(n(Self.left)) x2=\(n(Self.width - Self.right)) y1=\(n(y(mark))) y2=\(n(y(mark))) />"
        + "<text class=e x=\(n(Self.left - 6)) y=\(n(y(mark) + 4))>\(HTML.escaped(labelY(mark)))</text>"
    }
    for mark in marksX ?? (0...4).map({ firstX + span * Double($0) / 4 }) {
      body +=
        "<text class=m x=\(n(x(mark))) y=\(n(Self.height - 8))>\(HTML.escaped(labelX(mark)))</text>"
    }
    for line in lines where !line.points.isEmpty {
      let path = line.points.map { "\(n(x($0.x))),\(n(y($0.y)))" }.joined(separator: " ")
      let dash = line.dashed ? " d" : ""
      body += "<polyline class=\"l c\(line.colour)\(dash)\" points=\"\(path)\" />"
    }
    return head
      + "<svg viewBox=\"0 0 \(n(Self.width)) \(n(Self.height))\" role=img aria-label=\"\(HTML.escaped(title))\">"
      + body + "</svg></figure>\n"
  }

  /// A number of the drawing: a tenth is finer than the eye.
  private func n(_ value: Double) -> String { Figure.fixed(value, 1) }
}

/// The side of a chart.
private struct Scale {
  let marks: [Double]
  private let low: Double
  private let high: Double
  private let isLogarithmic: Bool

  init(_ values: [Double], isLogarithmic: Bool) {
    self.isLogarithmic = isLogarithmic
    let largest = max(values.max() ?? 1, 1e-9)
    if isLogarithmic {
      let smallest = max(values.filter { $0 > 0 }.min() ?? 1, largest / 1e6)
      var power = 1e-9
      while power * 10 <= smallest { power *= 10 }
      low = power
      var marks = [power]
      while power < largest {
        power *= 10
        marks.append(power)
      }
      // One mark alone would be a scale without length.
      high = max(power, low * 10)
      self.marks = marks
    } else {
      // Four to nine steps of 1, 2 or 5 times a power of ten.
      var step = 1e-9
      while step * 10 < largest { step *= 10 }
      for factor in [0.1, 0.2, 0.5, 1, 2, 5] where largest / (step * factor) <= 6 {
        step *= factor
        break
      }
      low = 0
      let count = (largest / step).rounded(.up)
      high = step * count
      marks = (0...Int(min(count, 20))).map { Double($0) * step }
    }
  }

  /// Where a value is between the bottom (0) and the top (1).
  func place(_ value: Double) -> Double {
    guard isLogarithmic else { return min(max(value / high, 0), 1) }
    return min(max((log10(max(value, low)) - log10(low)) / (log10(high) - log10(low)), 0), 1)
  }

  /// The decadic logarithm by halving: marks of a drawing need three digits.
  private func log10(_ value: Double) -> Double {
    var value = min(max(value, 1e-9), 1e18)
    var result = 0.0
    while value >= 10 {
      value /= 10
      result += 1
    }
    while value < 1 {
      value *= 10
      result -= 1
    }
    var weight = 0.5
    for _ in 0..<20 {
      value *= value
      if value >= 10 {
        value /= 10
        result += weight
      }
      weight /= 2
    }
    return result
  }
}

/// Text in HTML.
enum HTML {
  static func escaped(_ text: String) -> String {
    var result = ""
    // By scalars: a quotation mark with an accent behind it is another character, and still ends an attribute.
    for scalar in text.unicodeScalars {
      switch scalar {
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "&": result += "&amp;"
      case "\"": result += "&quot;"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }
}
