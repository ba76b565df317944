"""Frames that the standards and the field show, and some of our own: all with the checksum of HJ 212."""

from __future__ import annotations

from sensors.hj212.checksum import crc_hj212

STANDARD_2017 = (
    b"##0101QN=20160801085857223;ST=32;CN=1062;PW=100000;MN=010000A8900016F000169DC0;Flag=5;CP=&&RtdInterval=30&&1C80"
)
STANDARD_2025 = b"##0087QN=20240601085857223;ST=32;CN=1011;PW=123456;MN=010000A8900016F000169DC0;Flag=9;CP=&&&&2200"
FIELD = (
    b"##0239QN=20180821142509000;ST=39;CN=2011;PW=123456;MN=690000D5800028F889221AC0;Flag=4;"
    b"CP=&&DataTime=20180821142509;a34004-Rtd=0.0;a34002-Rtd=0.0;a34001-Rtd=0.0;LA-Rtd=0.0;a01001-Rtd=0.0;"
    b"a01002-Rtd=0.0;a01006-Rtd=0.0;a01007-Rtd=0.0;a01008-Rtd=0&&E541"
)
ACK_2025 = b"##0075QN=20260706103512345;ST=91;CN=9014;PW=123456;MN=A110000_0001;Flag=8;CP=&&&&0140"
DUST = (
    b"##0373QN=20260801085857223;ST=39;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;"
    b"CP=&&DataTime=20260801085857;a34001-Rtd=217.0,a34001-Flag=N;a34002-Rtd=152.3,a34002-Flag=N;"
    b"a34004-Rtd=48.1,a34004-Flag=N;LA-Rtd=63.2,LA-Flag=N;a01001-Rtd=28.3,a01001-Flag=N;a01002-Rtd=60.0,a01002-Flag=N;"
    b"a01006-Rtd=100.3,a01006-Flag=N;a01007-Rtd=2.1,a01007-Flag=N;a01008-Rtd=120,a01008-Flag=N&&2D00"
)
DUST_ACK = b"##0087QN=20260801085857223;ST=91;CN=9014;PW=123456;MN=010000A8900016F000169DC0;Flag=4;CP=&&&&F281"
NOISE = (
    b"##0122QN=20160801085857223;ST=23;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;"
    b"CP=&&DataTime=20160801085857;LA-Rtd=50.1&&0880"
)
MINUTE = (
    b"##0214QN=20260801090000000;ST=39;CN=2051;PW=123456;MN=010000A8900016F000169DC0;Flag=5;"
    b"CP=&&DataTime=20260801085900;a34002-Min=140.1,a34002-Avg=152.3,a34002-Max=166.0,a34002-Flag=N;"
    b"Leq-Data=62.8,Leq-Flag=N;LMx-Data=71.3&&3B80"
)
FAULTY = (
    b"##0170QN=20260801090000000;ST=39;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;"
    b"CP=&&DataTime=20260801090000;a34002-Rtd=999.0,a34002-Flag=D;a34001-Rtd=0.0,a34001-Flag=B&&9601"
)
ALL = (STANDARD_2017, STANDARD_2025, FIELD, ACK_2025, DUST, DUST_ACK, NOISE, MINUTE, FAULTY)

HEAD = "QN=20260801085857223;ST=39;CN=2011;PW=123456;MN=010000A8900016F000169DC0;Flag=5;"


def frame(content: str, *, head: str = HEAD, length: int | None = None, crc: str | None = None) -> bytes:
    """A frame around a CP section; length and checksum are right where none is given. Without CR LF."""
    data = f"{head}CP=&&{content}&&".encode()
    said = len(data) if length is None else length
    return b"##%04d%b%b" % (said, data, (crc_hj212(data) if crc is None else crc).encode())
