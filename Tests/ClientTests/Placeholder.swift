import Testing

@Test func clientTestsPlaceholder() {}
