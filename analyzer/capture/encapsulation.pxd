# What `scan` calls without Python; what the functions do stands in encapsulation.py.

cpdef long long link_header(const unsigned char[::1] data, Py_ssize_t p, Py_ssize_t end, int link) noexcept nogil
cpdef long long unwrap(const unsigned char[::1] data, Py_ssize_t p, Py_ssize_t end, int kind) noexcept nogil
cpdef long long tunnel(const unsigned char[::1] data, Py_ssize_t p, Py_ssize_t end, int proto) noexcept nogil
