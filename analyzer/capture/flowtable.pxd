# What `scan` needs to use the table without Python; the methods and their reasons stand in flowtable.py.

cdef class FlowTable:
    cdef unsigned long long[::1] slots
    cdef unsigned long long mask
    cdef unsigned long long[::1] src_hi
    cdef unsigned long long[::1] src_lo
    cdef unsigned long long[::1] dst_hi
    cdef unsigned long long[::1] dst_lo
    cdef unsigned int[::1] ports
    cdef unsigned char[::1] proto
    cdef int[::1] iface
    cdef unsigned int[::1] hashes
    cdef unsigned int[::1] isn_x
    cdef unsigned int[::1] isn_y
    cdef unsigned char[::1] marks
    cdef unsigned int[::1] syn_print
    cdef unsigned long long[::1] mac_src
    cdef unsigned long long[::1] mac_dst
    cdef Py_ssize_t count
    cdef unsigned long long one
    cdef unsigned long long other

    cdef Py_ssize_t at(self, unsigned long long slot) noexcept nogil
    cdef void put(self, unsigned long long slot, Py_ssize_t i) noexcept nogil
    cdef int same_key(self, Py_ssize_t i, Py_ssize_t j) except? -1 nogil
    cdef long long find(
        self, unsigned long long src_hi, unsigned long long src_lo, unsigned long long dst_hi, unsigned long long dst_lo,
        unsigned int ports, int proto, int iface, unsigned long long mac_src, unsigned long long mac_dst
    ) except? -1 nogil
    cdef long long again(self, Py_ssize_t old, bint swap) except? -1 nogil
    cdef long long segment(self, long long found, int flags, unsigned int seq, unsigned int syn_print) except? -1 nogil
