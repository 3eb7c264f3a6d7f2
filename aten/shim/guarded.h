// What every function of the shim returns: 0 when it worked; otherwise 1, with the reason in `err` (capacity `err_len`,
// always zero-terminated).
#pragma once

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>

inline void copy_text(const char* text, char* out, size_t out_len) {
  if (out_len == 0) return;
  const size_t n = std::min(std::strlen(text), out_len - 1);
  std::memcpy(out, text, n);
  out[n] = 0;
}

template <class F>
int guarded(char* err, size_t err_len, F f) {
  try {
    f();
    return 0;
  } catch (const c10::Error& e) {
    copy_text(e.what_without_backtrace(), err, err_len);
  } catch (const std::exception& e) {
    copy_text(e.what(), err, err_len);
  } catch (...) {
    copy_text("unknown C++ exception", err, err_len);
  }
  return 1;
}
